package reach_test

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/finding"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/keystore"
	"wellkey/registrar/reach"
)

func TestHealthyHost(t *testing.T) {
	w := newWorld(t)
	w.good("127.0.0.2")
	w.good("::1")
	w.dns.Set(domain, "A 127.0.0.2", "AAAA ::1")
	report := w.check()
	expect(t, report, reach.Reachable, "")
	if report.Domain != domain || report.At.IsZero() || report.Duration <= 0 {
		t.Errorf("report = %+v", report)
	}
	var families []string
	for _, a := range report.Addresses {
		families = append(families, a.Family)
		if !a.OK || !a.Self || a.Reason != "" || a.Key != w.key {
			t.Errorf("address = %+v", a)
		}
	}
	if !slices.Equal(families, []string{"ipv4", "ipv6"}) {
		t.Errorf("families = %q", families)
	}
}

func TestNothingToCompareWith(t *testing.T) {
	w := newWorld(t)
	w.good("127.0.0.2")
	w.dns.Set(domain, "A 127.0.0.2")
	w.config.Token = nil
	report := w.prober().Check(context.Background(), domain, keystore.Key{})
	expect(t, report, reach.Reachable, "")
	for _, id := range []string{"key_match", "this_is_me", "dns_agree"} {
		if f := find(report, id); f.Status != finding.Skipped {
			t.Errorf("%s = %+v, want skipped", id, f)
		}
	}
}

func TestRequest(t *testing.T) {
	w := newWorld(t)
	seen := make(chan *http.Request, 1)
	w.serve("127.0.0.2", w.cert(testca.LeafOptions{}), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { seen <- r }))
	w.dns.Set(domain, "A 127.0.0.2")
	w.check()
	r := <-seen
	if r.Method != "GET" || r.Host != domain || r.RequestURI != reach.Path || r.TLS.ServerName != domain {
		t.Errorf("request = %s %s of %s, SNI %s", r.Method, r.RequestURI, r.Host, r.TLS.ServerName)
	}
	if r.UserAgent() != "wellkey/test" || len(r.Header.Get("Wellkey-Probe")) < 20 {
		t.Errorf("header = %v", r.Header)
	}
}

func TestAnotherProcess(t *testing.T) {
	w := newWorld(t)
	w.serve("127.0.0.2", w.cert(testca.LeafOptions{}), pemHandler(w.key.PEM()))
	w.dns.Set(domain, "A 127.0.0.2")
	report := w.check()
	expect(t, report, reach.Reachable, "", "this_is_me@127.0.0.2 unknown")
	if report.Addresses[0].Self {
		t.Error("took a stranger for itself")
	}
}

func TestPrivateAddressIsNotDialed(t *testing.T) {
	w := newWorld(t)
	listener := w.listen("127.0.0.2", w.port)
	w.dns.Set(domain, "A 127.0.0.2", "A 10.1.2.3", "AAAA ::1", "AAAA ::ffff:127.0.0.2", "AAAA 64:ff9b::7f00:2", "A 169.254.169.254")
	w.config.AllowPrivate = false
	report := w.check()
	expect(t, report, reach.Unreachable, reach.ReasonPrivateAddress, "dns_public@10.1.2.3 fail", "dns_public@127.0.0.2 fail",
		"dns_public@169.254.169.254 fail", "dns_public@::1 fail", "dns_public@::ffff:127.0.0.2 fail", "dns_public@64:ff9b::7f00:2 fail")
	if err := listener.(*net.TCPListener).SetDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	// A connection that was made is in the backlog, and would be accepted before the deadline counts.
	if conn, err := listener.Accept(); err == nil {
		t.Error("a private address was dialed")
		_ = conn.Close()
	}
}

func TestSeveralAddresses(t *testing.T) {
	_, other := testnet.Key(t)
	wrong := func(w *world, ip string) { w.serve(ip, w.cert(testca.LeafOptions{}), w.keyHandler(other.PEM())) }
	for _, tc := range []struct {
		name    string
		records []string
		build   func(*world)
		verdict reach.Verdict
		reason  string
		want    []string
	}{
		{"broken AAAA beside a good A", []string{"A 127.0.0.2", "AAAA ::1"}, func(w *world) { w.good("127.0.0.2") },
			reach.Reachable, "", []string{"dial@::1 fail"}},
		{"broken A beside a good AAAA: the hairpin, perhaps", []string{"A 127.0.0.2", "AAAA ::1"}, func(w *world) { w.good("::1") },
			reach.Reachable, "", []string{"dial@127.0.0.2 unknown"}},
		{"broken A beside a good A", []string{"A 127.0.0.2", "A 127.0.0.3"}, func(w *world) { w.good("127.0.0.3") },
			reach.Reachable, "", []string{"dial@127.0.0.2 fail"}},
		{"AAAA that no one can dial beside a good A", []string{"A 127.0.0.2", "AAAA fe80::1"}, func(w *world) { w.good("127.0.0.2") },
			reach.Reachable, "", []string{"dial@fe80::1 fail"}},
		{"nobody listens", []string{"A 127.0.0.2"}, func(*world) {},
			reach.Inconclusive, reach.ReasonRefused, []string{"dial@127.0.0.2 unknown"}},
		{"one of two gives another key", []string{"A 127.0.0.2", "A 127.0.0.3"}, func(w *world) { w.good("127.0.0.2"); wrong(w, "127.0.0.3") },
			reach.Unreachable, reach.ReasonWrongKey, []string{"key_match@127.0.0.3 fail"}},
		{"AAAA leads to another host", []string{"A 127.0.0.2", "AAAA ::1"}, func(w *world) {
			w.good("127.0.0.2")
			w.serve("::1", w.cert(testca.LeafOptions{}, "other.example.test"), http.NotFoundHandler())
		}, reach.Unreachable, reach.ReasonTLSName, []string{
			"tls_name@::1 fail", "tls_cn@::1 warn", "http_status@::1 fail", "this_is_me@::1 unknown"}},
		{"IPv6 only", []string{"AAAA ::1"}, func(w *world) { w.good("::1") },
			reach.Reachable, "", []string{"dns_ipv4 warn"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			tc.build(w)
			w.dns.Set(domain, tc.records...)
			expect(t, w.check(), tc.verdict, tc.reason, tc.want...)
		})
	}
}

// A host that hangs takes the whole timeout and no more, however many do.
func TestHangingAddressesDoNotAddUp(t *testing.T) {
	w := newWorld(t)
	var records []string
	for _, ip := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"} {
		w.listen(ip, w.port) // takes connections, and never says a word
		records = append(records, "A "+ip)
	}
	w.good("127.0.0.6")
	w.dns.Set(domain, append(records, "A 127.0.0.6")...)
	w.config.Timeout = 5 * time.Second
	report := w.check()
	if report.Duration >= 2*w.config.Timeout {
		t.Errorf("took %v, want about %v", report.Duration, w.config.Timeout)
	}
	expect(t, report, reach.Reachable, "", "tls_handshake@127.0.0.2 fail", "tls_handshake@127.0.0.3 fail",
		"tls_handshake@127.0.0.4 fail", "tls_handshake@127.0.0.5 fail")
	for _, a := range report.Addresses[:4] {
		if a.Reason != reach.ReasonTimeout {
			t.Errorf("reason of %v = %q", a.IP, a.Reason)
		}
	}
}

func TestCanceled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	w.serve("127.0.0.2", w.cert(testca.LeafOptions{}), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	w.dns.Set(domain, "A 127.0.0.2")
	report := w.prober().Check(ctx, domain, w.key)
	expect(t, report, reach.Inconclusive, reach.ReasonCanceled)
}

func TestBadDomain(t *testing.T) {
	prober := newWorld(t).prober()
	for _, name := range []string{"", "https://a.test", "a.test/", "a.test:443", "A.test", "a.test.", ".a.test", "a..test", "-a.test",
		"a b.test", "a\n.test", "ä.test", "127.0.0.1", "::1", strings.Repeat("a", 64) + ".test", strings.Repeat("a.", 127) + "test"} {
		expect(t, prober.Check(context.Background(), name, keystore.Key{}), reach.Unreachable, reach.ReasonBadDomain, "domain fail")
	}
}

func TestNewRefuses(t *testing.T) {
	_, err := reach.New(reach.Config{Resolvers: []string{"1.1.1.1", "a/b", "::1", "dns.test:0"}, Port: 70000, HTTPPort: -1, Timeout: -1})
	if err == nil {
		t.Fatal("want an error")
	}
	want := `resolver "a/b" is neither an IP address nor host:port
resolver "dns.test:0" is neither an IP address nor host:port
port 70000 is not between 1 and 65535
port -1 is not between 1 and 65535
timeout -1ns is negative`
	if err.Error() != want {
		t.Errorf("error = %q\nwant %q", err, want)
	}
	if _, err := reach.New(reach.Config{Resolvers: []string{"1.1.1.1", "2606:4700::1111", "[::1]:5353", "dns.test", "dns.test:53"}}); err != nil {
		t.Error(err)
	}
	if _, err := reach.New(reach.Config{}); err != nil {
		t.Error(err)
	}
}

func TestDecide(t *testing.T) {
	good := reach.Address{OK: true}
	bad := func(reason string) reach.Address { return reach.Address{Reason: reason} }
	for _, tc := range []struct {
		addresses []reach.Address
		verdict   reach.Verdict
		reason    string
	}{
		{[]reach.Address{good}, reach.Reachable, ""},
		{[]reach.Address{good, bad(reach.ReasonNoRoute)}, reach.Reachable, ""},
		{[]reach.Address{bad(reach.ReasonTimeout), good}, reach.Reachable, ""},
		{[]reach.Address{bad(reach.ReasonPrivateAddress), good}, reach.Reachable, ""},
		{[]reach.Address{bad(reach.ReasonPrivateAddress), bad(reach.ReasonRefused)}, reach.Inconclusive, reach.ReasonRefused},
		{[]reach.Address{bad(reach.ReasonPrivateAddress)}, reach.Unreachable, reach.ReasonPrivateAddress},
		{[]reach.Address{good, bad(reach.ReasonStatus)}, reach.Unreachable, reach.ReasonStatus},
		{[]reach.Address{bad(reach.ReasonRefused), bad(reach.ReasonStatus)}, reach.Unreachable, reach.ReasonStatus},
		{[]reach.Address{bad(reach.ReasonStatus), bad(reach.ReasonHTML)}, reach.Unreachable, reach.ReasonStatus},
		{[]reach.Address{bad(reach.ReasonStatus), bad(reach.ReasonPrivateKey)}, reach.Unreachable, reach.ReasonPrivateKey},
		{[]reach.Address{bad(reach.ReasonNoRoute), bad(reach.ReasonTimeout)}, reach.Inconclusive, reach.ReasonNoRoute},
		{[]reach.Address{bad(reach.ReasonInternal)}, reach.Inconclusive, reach.ReasonInternal},
	} {
		if verdict, reason := reach.Decide(tc.addresses); verdict != tc.verdict || reason != tc.reason {
			t.Errorf("%v: %s %q, want %s %q", tc.addresses, verdict, reason, tc.verdict, tc.reason)
		}
	}
}

// What strangers send must never end the process.
func TestPanicIsContained(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	w.config.Logger, w.config.Registerer = zap.New(core), registry
	ran := make([]bool, 3)
	w.prober().Together(len(ran), func(i int) {
		if i == 1 {
			panic("hostile")
		}
		ran[i] = true
	})
	if !slices.Equal(ran, []bool{true, false, true}) {
		t.Errorf("ran = %v", ran)
	}
	if entries := logs.TakeAll(); len(entries) != 1 || entries[0].ContextMap()["panic"] != "string" || entries[0].LoggerName != "reach" {
		t.Errorf("log = %+v", entries)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader("# HELP wellkey_panics_total Panics that were contained, by the part of wellkey: each is a bug in it.\n"+
		"# TYPE wellkey_panics_total counter\nwellkey_panics_total{part=\"reach\"} 1\n")); err != nil {
		t.Error(err)
	}
}
