package dns01_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/secret"
	"wellkey/server/certs/dns01"
)

func TestUpdateByEachAlgorithm(t *testing.T) {
	t.Parallel()
	n := startNamed(t, map[string]string{"example.test": ""}, dns01.Algorithms()...)
	for _, algorithm := range dns01.Algorithms() {
		p := rfc2136(t, dns01.RFC2136{Server: n.addr, Name: "wellkey-" + algorithm, Algorithm: algorithm})
		name := "_acme-challenge." + algorithm + ".example.test"
		one, two := dns01.Record{Name: name, Value: "one"}, dns01.Record{Name: name, Value: "two"}
		for _, step := range []struct {
			do   func() error
			want []string
		}{
			{func() error { return p.Add(t.Context(), one) }, []string{"one"}},
			{func() error { return p.Add(t.Context(), one) }, []string{"one"}}, // after a crash
			{func() error { return p.Add(t.Context(), two) }, []string{"one", "two"}},
			{func() error { return p.Remove(t.Context(), one) }, []string{"two"}},
			{func() error { return p.Remove(t.Context(), one) }, []string{"two"}},
			{func() error { return p.Remove(t.Context(), two) }, nil},
		} {
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", algorithm, err)
			}
			if got := n.txt(t, name); !slices.Equal(got, step.want) {
				t.Errorf("%s: got %q, want %q", algorithm, got, step.want)
			}
		}
	}
}

func rfc2136(t *testing.T, cfg dns01.RFC2136) dns01.Provider {
	t.Helper()
	if cfg.Name != "" && cfg.Secret.IsZero() {
		cfg.Secret = secret.New(keySecret)
	}
	p, err := dns01.NewRFC2136(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkError compares a failure with what it must be, and looks for secrets.
func checkError(t *testing.T, err error, kind dns01.Kind, want string) {
	t.Helper()
	var known *dns01.Error
	switch {
	case !errors.As(err, &known):
		t.Errorf("got %v, want one of the kind %s", err, kind)
	case known.Kind != kind || !strings.Contains(err.Error(), want):
		t.Errorf("got %s: %v\nwant %s: %s", known.Kind, err, kind, want)
	case strings.Contains(err.Error(), "Canary7f3a"), strings.Contains(err.Error(), keySecret):
		t.Errorf("the secret is shown: %v", err)
	}
}

func TestRefusedUpdates(t *testing.T) {
	t.Parallel()
	n := startNamed(t, map[string]string{"example.test": ""})
	good := dns01.RFC2136{Server: n.addr, Name: "wellkey-hmac-sha256"}
	for name, test := range map[string]struct {
		change func(*dns01.RFC2136)
		record string
		kind   dns01.Kind
		want   string
	}{
		"another secret": {func(c *dns01.RFC2136) { c.Secret = secret.New("Q2FuYXJ5N2YzYQ==") }, "", dns01.KindProvider,
			`BADSIG: the server ` + n.addr + ` has another secret for the TSIG key "wellkey-hmac-sha256": copy dns_rfc2136_tsig_secret`},
		"another secret, zone set": {func(c *dns01.RFC2136) { c.Secret, c.Zone = secret.New("Q2FuYXJ5N2YzYQ=="), "example.test" }, "", dns01.KindProvider, "BADSIG: "},
		"unknown key": {func(c *dns01.RFC2136) { c.Name = "nobody" }, "", dns01.KindProvider,
			`BADKEY: the server ` + n.addr + ` does not know the TSIG key "nobody" with hmac-sha256: copy dns_rfc2136_tsig_name and dns_rfc2136_tsig_algorithm`},
		"other algorithm": {func(c *dns01.RFC2136) { c.Algorithm = "hmac-sha1" }, "", dns01.KindProvider, "BADKEY: "},
		"slow clock": {func(c *dns01.RFC2136) { c.Now = func() time.Time { return time.Now().Add(-time.Hour) } }, "", dns01.KindProvider,
			"BADTIME: the clocks of this host and of " + n.addr + " are more than 5 minutes apart"},
		"key without power": {func(c *dns01.RFC2136) { c.Name = "powerless" }, "", dns01.KindProvider,
			`REFUSED: the server ` + n.addr + ` lets the TSIG key "powerless" not update the zone example.test: allow it there`},
		"no key": {func(c *dns01.RFC2136) { c.Name = "" }, "", dns01.KindProvider,
			`REFUSED: the server ` + n.addr + ` lets this host, which has no TSIG key not update`},
		"zone of others": {func(c *dns01.RFC2136) { c.Zone = "example.org" }, "_acme-challenge.example.org", dns01.KindProvider,
			"NOTAUTH: the server " + n.addr + " is not the primary of the zone example.org, or does not accept"},
		"name of others": {func(*dns01.RFC2136) {}, "_acme-challenge.example.org", dns01.KindZone,
			"the server " + n.addr + " does not say in which zone _acme-challenge.example.org is (REFUSED): set dns_rfc2136_zone"},
		"name outside of the zone": {func(c *dns01.RFC2136) { c.Zone = "example.test" }, "_acme-challenge.example.org", dns01.KindZone,
			"NOTZONE: the record is not within the zone example.test: correct dns_rfc2136_zone"},
		"nobody there": {func(c *dns01.RFC2136) { c.Server = "127.0.0.1:1" }, "", dns01.KindProvider,
			"the server 127.0.0.1:1 cannot be asked: check dns_rfc2136_server"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			test.change(&cfg)
			if test.record == "" {
				test.record = "_acme-challenge.example.test"
			}
			checkError(t, rfc2136(t, cfg).Add(t.Context(), dns01.Record{Name: test.record, Value: "v"}), test.kind, test.want)
		})
	}
	if got := n.txt(t, "_acme-challenge.example.test"); got != nil {
		t.Errorf("got records %q, want none", got)
	}
}

// Answers that BIND gives only when it is broken come from a fake, which listens
// on UDP alone.
func TestAnswersOfBrokenServers(t *testing.T) {
	t.Parallel()
	for rcode, want := range map[int]string{
		dns.RcodeSuccess:        "",
		dns.RcodeServerFailure:  "SERVFAIL: the server ADDR could not write the zone example.test: see its log",
		dns.RcodeNotImplemented: "NOTIMP: the server ADDR knows no dynamic updates: name the primary of the zone",
		dns.RcodeFormatError:    "FORMERR: the server ADDR knows no dynamic updates",
		dns.RcodeNotAuth:        "NOTAUTH: the server ADDR is not the primary of the zone example.test, or does not accept this host, which has no TSIG key",
		dns.RcodeYXDomain:       "YXDOMAIN: the server ADDR refused the update of the zone example.test: see its log",
	} {
		addr := fakeDNS(t, func(reply *dns.Msg) { reply.Rcode = rcode })
		err := rfc2136(t, dns01.RFC2136{Server: addr, Zone: "example.test"}).Add(t.Context(), dns01.Record{Name: "a.example.test", Value: "v"})
		if want == "" {
			if err != nil {
				t.Errorf("over UDP: %v", err)
			}
			continue
		}
		checkError(t, err, dns01.KindProvider, strings.ReplaceAll(want, "ADDR", addr))
	}
	addr := fakeDNS(t, func(*dns.Msg) {})
	err := rfc2136(t, dns01.RFC2136{Server: addr, Zone: "example.test", Name: "k"}).Add(t.Context(), dns01.Record{Name: "a.example.test", Value: "v"})
	checkError(t, err, dns01.KindProvider, `the answer of `+addr+` is not signed with the key "k"`)
}

// fakeDNS answers every message over UDP until the end of the test.
func fakeDNS(t *testing.T, fill func(reply *dns.Msg)) (addr string) {
	t.Helper()
	return fakeDNSAt(t, "127.0.0.1:0", fill)
}

func fakeDNSAt(t *testing.T, listen string, fill func(reply *dns.Msg)) (addr string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	server := &dns.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
			reply := new(dns.Msg)
			reply.SetReply(query)
			fill(reply)
			_ = w.WriteMsg(reply) // the client has gone
		})}
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := errors.Join(server.Shutdown(), <-ended); err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().String()
}

func TestKeysThatAreNone(t *testing.T) {
	for _, cfg := range []dns01.RFC2136{{Name: "k"}, {Secret: secret.New("YWFh")}, {Name: "k", Secret: secret.New("Canary7f3a!")}} {
		if _, err := dns01.NewRFC2136(cfg); err == nil || strings.Contains(err.Error(), "Canary") {
			t.Errorf("%+v: got %v", cfg, err)
		}
	}
}
