package testdns_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"wellkey/internal/testdns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *testdns.Server {
	t.Helper()
	s, err := testdns.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func ask(t *testing.T, s *testdns.Server, network, name string, kind uint16) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: network}
	reply, _, err := client.Exchange(new(dns.Msg).SetQuestion(name, kind), s.Addr())
	if err != nil {
		t.Fatalf("asking for %s %s: %v", name, dns.TypeToString[kind], err)
	}
	return reply
}

func TestAnswers(t *testing.T) {
	s := start(t)
	s.Set("Example.test", "A 127.0.0.1", "A 127.0.0.2", "AAAA ::1", `CAA 0 issue "pebble.test"`, `TXT "one two"`,
		"SOA ns.example.test. root.example.test. 7 1 1 1 1", "NS ns.example.test.")
	s.Set("www.example.test", "60 CNAME alias.test.")
	s.Set("alias.test", "CNAME example.test.")
	s.Set("gone.test", "CNAME nowhere.test.")
	s.Set("loop.test", "CNAME loop.test.")
	s.Set("deep.under.test", "A 127.0.0.3")
	s.Set("empty.test")
	s.Set("broken.test", "A 127.0.0.1")
	s.Rcode("broken.test", dns.RcodeServerFailure, dns.TypeCAA)
	s.Rcode("refused.test", dns.RcodeRefused)
	for _, test := range []struct {
		name  string
		kind  uint16
		rcode int
		want  []string // rdata of the answers
		soa   string   // owner of the SOA record in the authority section
	}{
		{"example.test.", dns.TypeA, dns.RcodeSuccess, []string{"127.0.0.1", "127.0.0.2"}, ""},
		{"EXAMPLE.TEST.", dns.TypeAAAA, dns.RcodeSuccess, []string{"::1"}, ""},
		{"example.test.", dns.TypeCAA, dns.RcodeSuccess, []string{`0 issue "pebble.test"`}, ""},
		{"example.test.", dns.TypeTXT, dns.RcodeSuccess, []string{`"one two"`}, ""},
		{"example.test.", dns.TypeNS, dns.RcodeSuccess, []string{"ns.example.test."}, ""},
		{"example.test.", dns.TypeMX, dns.RcodeSuccess, nil, "example.test."},
		{"www.example.test.", dns.TypeAAAA, dns.RcodeSuccess, []string{"alias.test.", "example.test.", "::1"}, ""},
		{"www.example.test.", dns.TypeCNAME, dns.RcodeSuccess, []string{"alias.test."}, ""},
		{"no.example.test.", dns.TypeA, dns.RcodeNameError, nil, "example.test."},
		{"gone.test.", dns.TypeA, dns.RcodeNameError, []string{"nowhere.test."}, "."},
		{"loop.test.", dns.TypeA, dns.RcodeServerFailure, nil, ""},
		{"under.test.", dns.TypeA, dns.RcodeSuccess, nil, "."},
		{"empty.test.", dns.TypeA, dns.RcodeSuccess, nil, "."},
		{"broken.test.", dns.TypeA, dns.RcodeSuccess, []string{"127.0.0.1"}, ""},
		{"broken.test.", dns.TypeCAA, dns.RcodeServerFailure, nil, ""},
		{"refused.test.", dns.TypeA, dns.RcodeRefused, nil, ""},
	} {
		for _, network := range []string{"udp", "tcp"} {
			reply := ask(t, s, network, test.name, test.kind)
			var got []string
			for _, record := range reply.Answer {
				got = append(got, strings.TrimPrefix(record.String(), record.Header().String()))
			}
			soa := ""
			for _, record := range reply.Ns {
				soa = record.Header().Name
			}
			if reply.Rcode != test.rcode || !slices.Equal(got, test.want) || soa != test.soa {
				t.Errorf("%s %s over %s: got %s %q authority %q, want %s %q %q", test.name, dns.TypeToString[test.kind], network,
					dns.RcodeToString[reply.Rcode], got, soa, dns.RcodeToString[test.rcode], test.want, test.soa)
			}
		}
	}
}

func TestQueriesAreCounted(t *testing.T) {
	s := start(t)
	ask(t, s, "udp", "example.test.", dns.TypeA)
	ask(t, s, "tcp", "Example.Test.", dns.TypeA)
	ask(t, s, "udp", "example.test.", dns.TypeCAA)
	if got := s.Queries("example.test"); got != 3 {
		t.Errorf("all types: got %d, want 3", got)
	}
	if got := s.Queries("example.test", dns.TypeA); got != 2 {
		t.Errorf("A: got %d, want 2", got)
	}
}

func TestHangEndsWithSetOrRemove(t *testing.T) {
	s := start(t)
	s.Hang("example.test")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	client := new(dns.Client)
	if reply, _, err := client.ExchangeContext(ctx, new(dns.Msg).SetQuestion("example.test.", dns.TypeA), s.Addr()); err == nil {
		t.Fatalf("got an answer from a name that hangs: %v", reply)
	}
	s.Set("example.test", "A 127.0.0.1")
	if reply := ask(t, s, "udp", "example.test.", dns.TypeA); len(reply.Answer) != 1 {
		t.Errorf("after Set: got %v, want one answer", reply)
	}
	s.Remove("example.test")
	if reply := ask(t, s, "udp", "example.test.", dns.TypeA); reply.Rcode != dns.RcodeNameError {
		t.Errorf("after Remove: got %v, want NXDOMAIN", reply)
	}
}

func TestBigAnswersAreTruncatedOverUDP(t *testing.T) {
	s := start(t)
	var records []string
	for i := range 60 {
		records = append(records, "A "+net.IPv4(127, 0, 1, byte(i)).String())
	}
	s.Set("big.test", records...)
	if reply := ask(t, s, "udp", "big.test.", dns.TypeA); !reply.Truncated {
		t.Error("over UDP: got a whole answer, want it truncated")
	}
	if reply := ask(t, s, "tcp", "big.test.", dns.TypeA); len(reply.Answer) != 60 {
		t.Errorf("over TCP: got %d records, want 60", len(reply.Answer))
	}
}

func TestGoResolver(t *testing.T) {
	s := start(t)
	s.Set("www.example.test", "CNAME example.test.")
	s.Set("example.test", "A 127.0.0.1", "AAAA ::1")
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Addr())
	}}
	got, err := resolver.LookupHost(t.Context(), "www.example.test.")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if want := []string{"127.0.0.1", "::1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSetRefusesWhatItCannotRead(t *testing.T) {
	s := start(t)
	defer func() {
		if got := recover(); got == nil || !strings.Contains(got.(string), `"A nonsense"`) {
			t.Errorf("got panic %v, want one that names the record", got)
		}
	}()
	s.Set("example.test", "A nonsense")
}
