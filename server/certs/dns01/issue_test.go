package dns01_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"wellkey/internal/secret"
	"wellkey/internal/testca"
	"wellkey/server/certs"
	"wellkey/server/certs/dns01"
)

// zones are example.test, which takes updates, and delegating.test, whose
// challenges are delegated to it.
var zones = map[string]string{"example.test": "@ A 192.0.2.1\n", "delegating.test": "@ A 192.0.2.1\n_acme-challenge CNAME far.example.test.\n"}

// issue runs a Manager without listeners until it has a certificate or comes to
// rest, and returns how it stands.
func issue(t *testing.T, n named, domain string, cfg dns01.RFC2136) certs.Status {
	t.Helper()
	ca, err := testca.Start(testca.Config{DNS: n.addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ca.Close(); err != nil {
			t.Error(err)
		}
	})
	var log strings.Builder // written by one goroutine, which has ended when it is read
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(&log)), zap.DebugLevel))
	s := solver(t, dns01.Config{Provider: rfc2136(t, cfg), Resolvers: []string{n.addr}, Port: n.port(), Timeout: time.Minute, Logger: logger})
	rested, stop := context.WithCancel(t.Context())
	m, err := certs.New(certs.Config{Storage: &certmagic.FileStorage{Path: t.TempDir()}, Directory: ca.Directory(), Roots: ca.APIRoots(), DNS: s,
		Common: certs.Common{Logger: logger, Wait: func(context.Context, time.Duration) error { stop(); return errors.New("the test is over") }}})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	m.Add(domain)
	if err := m.Run(rested); err != nil {
		t.Fatal(err)
	}
	if cfg.Secret.IsZero() {
		cfg.Secret = secret.New(keySecret)
	}
	if strings.Contains(log.String(), cfg.Secret.Reveal()) {
		t.Errorf("the secret is in the log")
	}
	return m.Status(domain)
}

// Nobody can reach us, and still there is a certificate; and nothing is left in
// the zone.
func TestCertificateByDNS(t *testing.T) {
	t.Parallel()
	n := startNamed(t, zones)
	for domain, name := range map[string]string{"example.test": "_acme-challenge.example.test", "delegating.test": "far.example.test"} {
		t.Run(domain, func(t *testing.T) {
			status := issue(t, n, domain, dns01.RFC2136{Server: n.addr, Name: "wellkey-hmac-sha256"})
			if !status.Have || status.LastError != nil {
				t.Errorf("got %+v, %+v", status, status.LastError)
			}
			if left := n.txt(t, name); left != nil {
				t.Errorf("%q is left at %s", left, name)
			}
		})
	}
}

func TestWordsOfAFailure(t *testing.T) {
	t.Parallel()
	n := startNamed(t, zones)
	for name, test := range map[string]struct {
		domain string
		cfg    dns01.RFC2136
		reason certs.Reason
		text   string
	}{
		"wrong secret": {"example.test", dns01.RFC2136{Server: n.addr, Name: "wellkey-hmac-sha256", Secret: secret.New("Q2FuYXJ5N2YzYQ==")}, certs.ReasonDNSProvider, "BADSIG: the server "},
		"wrong zone":   {"example.test", dns01.RFC2136{Server: n.addr, Name: "wellkey-hmac-sha256", Zone: "delegating.test"}, certs.ReasonDNSZone, "NOTZONE: "},
	} {
		t.Run(name, func(t *testing.T) {
			status := issue(t, n, test.domain, test.cfg)
			last := status.LastError
			if status.Have || last == nil || last.Reason != test.reason || !strings.Contains(last.Text, test.text) || last.Cause == "" || last.Fix == "" || strings.Contains(last.Text, test.cfg.Secret.Reveal()) && !test.cfg.Secret.IsZero() {
				t.Errorf("got %+v", last)
			}
		})
	}
}
