package reach_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/finding"
	"wellkey/internal/testdns"
	"wellkey/internal/testnet"
	"wellkey/registrar/reach"
)

func TestNames(t *testing.T) {
	for _, tc := range []struct {
		name    string
		build   func(*testdns.Server)
		verdict reach.Verdict
		reason  string
		want    []string
		seen    string // in dns_resolves
	}{
		{"no such name", func(*testdns.Server) {}, reach.Unreachable, reach.ReasonNXDomain, []string{"dns_resolves fail"}, "NXDOMAIN"},
		{"no address", func(s *testdns.Server) { s.Set(domain, `TXT "hello"`) },
			reach.Unreachable, reach.ReasonNoAddress, []string{"dns_resolves fail"}, "neither an A nor an AAAA"},
		{"SERVFAIL", func(s *testdns.Server) { s.Rcode(domain, dns.RcodeServerFailure) },
			reach.Inconclusive, reach.ReasonDNS, []string{"dns_resolves unknown"}, "it answered SERVFAIL"},
		{"REFUSED", func(s *testdns.Server) { s.Rcode(domain, dns.RcodeRefused) },
			reach.Inconclusive, reach.ReasonDNS, []string{"dns_resolves unknown"}, "it answered REFUSED"},
		{"no A, and SERVFAIL for AAAA", func(s *testdns.Server) {
			s.Set(domain, `TXT "hello"`)
			s.Rcode(domain, dns.RcodeServerFailure, dns.TypeAAAA)
		}, reach.Inconclusive, reach.ReasonDNS, []string{"dns_resolves unknown"}, "for AAAA: it answered SERVFAIL"},
		{"silence", func(s *testdns.Server) { s.Hang(domain) },
			reach.Inconclusive, reach.ReasonDNS, []string{"dns_resolves unknown"}, "it did not answer in time"},
		{"SERVFAIL for AAAA beside a good A", func(s *testdns.Server) {
			s.Set(domain, "A 127.0.0.2")
			s.Rcode(domain, dns.RcodeServerFailure, dns.TypeAAAA)
		}, reach.Reachable, "", nil, "resolves to 127.0.0.2"},
		{"SERVFAIL for A beside a good AAAA", func(s *testdns.Server) {
			s.Set(domain, "AAAA ::1")
			s.Rcode(domain, dns.RcodeServerFailure, dns.TypeA)
		}, reach.Reachable, "", []string{"dns_ipv4 unknown"}, "resolves to ::1"},
		{"CNAME chain", func(s *testdns.Server) {
			s.Set(domain, "CNAME a.example.test.")
			s.Set("a.example.test", "CNAME b.example.test.")
			s.Set("b.example.test", "A 127.0.0.2")
		}, reach.Reachable, "", nil, `by way of the CNAME "a.example.test", then "b.example.test"`},
		{"dangling CNAME", func(s *testdns.Server) { s.Set(domain, "CNAME gone.example.test.") },
			reach.Unreachable, reach.ReasonNXDomain, []string{"dns_resolves fail"}, `by way of the CNAME "gone.example.test"`},
		{"CNAME loop", func(s *testdns.Server) { s.Set(domain, "CNAME "+domain+".") },
			reach.Inconclusive, reach.ReasonDNS, []string{"dns_resolves unknown"}, "SERVFAIL"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.good("127.0.0.2")
			w.good("::1")
			if tc.name == "silence" {
				w.config.Timeout = 300 * time.Millisecond
			}
			tc.build(w.dns)
			report := w.check()
			expect(t, report, tc.verdict, tc.reason, tc.want...)
			if f := find(report, "dns_resolves"); !strings.Contains(f.Seen, tc.seen) {
				t.Errorf("seen = %q, want %q in it", f.Seen, tc.seen)
			}
		})
	}
}

func TestSeveralResolvers(t *testing.T) {
	set := func(records ...string) func(*testdns.Server) {
		return func(s *testdns.Server) { s.Set(domain, records...) }
	}
	nothing := func(*testdns.Server) {}
	hang := func(s *testdns.Server) { s.Hang(domain) }
	for _, tc := range []struct {
		name    string
		build   []func(*testdns.Server)
		verdict reach.Verdict
		reason  string
		want    []string
		agree   finding.Status
	}{
		{"they agree", []func(*testdns.Server){set("A 127.0.0.2", "AAAA ::1"), set("AAAA ::1", "A 127.0.0.2")}, reach.Reachable, "", nil, finding.OK},
		{"different addresses, all good", []func(*testdns.Server){set("A 127.0.0.2"), set("A 127.0.0.3")}, reach.Reachable, "", nil, finding.OK},
		{"different addresses, one dead", []func(*testdns.Server){set("A 127.0.0.2"), set("A 127.0.0.9")}, reach.Reachable, "",
			[]string{"dns_agree warn", "dial@127.0.0.9 fail"}, finding.Warn},
		{"not known everywhere yet", []func(*testdns.Server){set("A 127.0.0.2"), nothing}, reach.Reachable, "", []string{"dns_agree warn"}, finding.Warn},
		{"nowhere", []func(*testdns.Server){nothing, nothing}, reach.Unreachable, reach.ReasonNXDomain, []string{"dns_resolves fail"}, finding.OK},
		{"one is silent", []func(*testdns.Server){hang, set("A 127.0.0.2")}, reach.Reachable, "", []string{"dns_agree unknown"}, finding.Unknown},
		{"one of three is silent", []func(*testdns.Server){hang, set("A 127.0.0.2"), set("A 127.0.0.2")}, reach.Reachable, "", nil, finding.OK},
		{"NXDOMAIN and silence", []func(*testdns.Server){hang, nothing}, reach.Unreachable, reach.ReasonNXDomain,
			[]string{"dns_resolves fail", "dns_agree unknown"}, finding.Unknown},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			if strings.Contains(tc.name, "silen") {
				w.config.Timeout = 5 * time.Second // which is waited for
			}
			w.config.Resolvers = nil
			for _, build := range tc.build {
				server := testnet.DNS(t)
				build(server)
				w.config.Resolvers = append(w.config.Resolvers, server.Addr())
			}
			for _, ip := range []string{"127.0.0.2", "127.0.0.3", "::1"} {
				w.good(ip)
			}
			report := w.check()
			expect(t, report, tc.verdict, tc.reason, tc.want...)
			if f := find(report, "dns_agree"); f.Status != tc.agree {
				t.Errorf("dns_agree = %+v, want %s", f, tc.agree)
			}
		})
	}
}

// An answer that does not fit into a datagram is asked for over TCP, and no
// more than 16 addresses are looked at.
func TestManyAddresses(t *testing.T) {
	w := newWorld(t)
	var records []string
	for i := range 100 {
		records = append(records, fmt.Sprintf("A 10.0.0.%d", i))
	}
	w.dns.Set(domain, records...)
	w.config.AllowPrivate = false
	report := w.check()
	if len(report.Addresses) != 16 || report.Reason != reach.ReasonPrivateAddress {
		t.Errorf("%d addresses, reason %q", len(report.Addresses), report.Reason)
	}
	if f := find(report, "dns_resolves"); !strings.Contains(f.Seen, "and 84 more") {
		t.Errorf("seen = %q", f.Seen)
	}
}

func TestNobodyToAsk(t *testing.T) {
	w := newWorld(t)
	w.config.Resolvers = []string{fmt.Sprintf("127.0.0.1:%d", w.port)} // where nobody listens
	report := w.check()
	expect(t, report, reach.Inconclusive, reach.ReasonDNS, "dns_resolves unknown")
	if f := find(report, "dns_resolves"); !strings.Contains(f.Seen, "refused") {
		t.Errorf("seen = %q", f.Seen)
	}
}

// Resolvers that are stranger than testdns wants to be.
func TestStrangeResolvers(t *testing.T) {
	record := func(text string) dns.RR {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return rr
	}
	for _, tc := range []struct {
		name   string
		answer func(query, reply *dns.Msg)
		reason string
		seen   string
	}{
		{"leaves the CNAME to us", func(query, reply *dns.Msg) {
			switch q := query.Question[0]; {
			case q.Name == domain+".":
				reply.Answer = append(reply.Answer, record(domain+". CNAME far.test."))
			case q.Qtype == dns.TypeA:
				reply.Answer = append(reply.Answer, record("far.test. A 127.0.0.2"))
			}
		}, "", "by way of the CNAME \"far.test\""},
		{"leads in a circle", func(query, reply *dns.Msg) {
			next := map[string]string{domain + ".": "far.test.", "far.test.": domain + "."}[query.Question[0].Name]
			reply.Answer = append(reply.Answer, record(query.Question[0].Name+" CNAME "+next))
		}, reach.ReasonDNS, "in a circle"},
		{"gives the address of another name", func(_, reply *dns.Msg) {
			reply.Answer = append(reply.Answer, record("other.test. A 127.0.0.2"))
		}, reach.ReasonNoAddress, "neither"},
		{"spells the name as it likes", func(query, reply *dns.Msg) {
			if query.Question[0].Qtype == dns.TypeA {
				reply.Answer = append(reply.Answer, record("KEY.Example.TEST. A 127.0.0.2"))
			}
		}, "", "127.0.0.2"},
		{"answers another question", func(_, reply *dns.Msg) { reply.Question[0].Name = "other.test." }, reach.ReasonDNS, "another question"},
		{"gives a code nobody knows", func(_, reply *dns.Msg) { reply.Rcode = 13 }, reach.ReasonDNS, "response code 13"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.good("127.0.0.2")
			w.config.Resolvers = []string{strangeResolver(t, tc.answer)}
			report := w.check()
			if report.Reason != tc.reason {
				t.Errorf("reason = %q, want %q", report.Reason, tc.reason)
			}
			if f := find(report, "dns_resolves"); !strings.Contains(f.Seen, tc.seen) {
				t.Errorf("seen = %q, want %q in it", f.Seen, tc.seen)
			}
		})
	}
}

func strangeResolver(t *testing.T, answer func(query, reply *dns.Msg)) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
			reply := new(dns.Msg).SetReply(query)
			answer(query, reply)
			_ = w.WriteMsg(reply)
		})}
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return conn.LocalAddr().String()
}
