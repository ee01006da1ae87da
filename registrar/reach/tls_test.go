package reach_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/registrar/reach"
)

func TestCertificates(t *testing.T) {
	now := time.Now()
	stranger, err := testca.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Issue(testca.LeafOptions{}, domain)
	if err != nil {
		t.Fatal(err)
	}
	own := func(options testca.LeafOptions, names ...string) func(*world) *tls.Config {
		return func(w *world) *tls.Config { return w.cert(options, names...) }
	}
	for _, tc := range []struct {
		name   string
		config func(*world) *tls.Config
		reason string
		want   []string
	}{
		{"expired", own(testca.LeafOptions{NotBefore: now.AddDate(0, -3, 0), NotAfter: now.Add(-time.Hour)}),
			reach.ReasonTLSExpired, []string{"tls_dates fail"}},
		{"not yet valid", own(testca.LeafOptions{NotBefore: now.Add(time.Hour)}),
			reach.ReasonTLSNotYetValid, []string{"tls_dates fail"}},
		{"renewal overdue", own(testca.LeafOptions{NotBefore: now.AddDate(0, 0, -80), NotAfter: now.AddDate(0, 0, 10)}),
			"", []string{"tls_dates warn"}},
		{"renewal not overdue", own(testca.LeafOptions{NotBefore: now.AddDate(0, 0, -74), NotAfter: now.AddDate(0, 0, 16)}), "", nil},
		{"wrong name", own(testca.LeafOptions{}, "www.example.test"),
			reach.ReasonTLSName, []string{"tls_name fail", "tls_cn warn"}},
		{"wildcard", own(testca.LeafOptions{}, "*.example.test"), "", nil},
		{"self-signed", own(testca.LeafOptions{SelfSigned: true}), reach.ReasonTLSSelfSigned, []string{"tls_chain fail"}},
		{"incomplete chain", own(testca.LeafOptions{Incomplete: true}), reach.ReasonTLSIncomplete, []string{"tls_chain fail"}},
		{"untrusted root", func(*world) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{foreign.Certificate}} },
			reach.ReasonTLSUntrusted, []string{"tls_chain fail"}},
		{"self-signed, expired, for another name", own(testca.LeafOptions{SelfSigned: true, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(0, -1, 0)}, "router.test"),
			reach.ReasonTLSName, []string{"tls_name fail", "tls_chain fail", "tls_dates fail", "tls_cn warn"}},
		{"no common name", own(testca.LeafOptions{NoCommonName: true}), "", []string{"tls_cn warn"}},
		{"common name of another", own(testca.LeafOptions{}, "www.example.test", domain), "", []string{"tls_cn warn"}},
		{"RSA", func(w *world) *tls.Config {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				w.t.Fatal(err)
			}
			return w.cert(testca.LeafOptions{Key: key})
		}, "", nil},
		{"no certificate yet", func(*world) *tls.Config {
			return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}
		}, reach.ReasonTLSHandshake, []string{"tls_handshake fail"}},
		{"TLS 1.1 only", func(w *world) *tls.Config {
			config := w.cert(testca.LeafOptions{})
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			return config
		}, reach.ReasonTLSHandshake, []string{"tls_handshake fail"}},
		{"TLS 1.2 only", func(w *world) *tls.Config {
			config := w.cert(testca.LeafOptions{})
			config.MaxVersion = tls.VersionTLS12
			return config
		}, "", nil},
		{"another answers without SNI", func(w *world) *tls.Config {
			good := w.cert(testca.LeafOptions{})
			other := w.cert(testca.LeafOptions{}, "other.test")
			return &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if hello.ServerName == domain {
					return good, nil
				}
				return other, nil
			}}
		}, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.serve("127.0.0.2", tc.config(w), w.keyHandler(w.key.PEM()))
			w.dns.Set(domain, "A 127.0.0.2")
			for i := range tc.want {
				tc.want[i] = strings.Replace(tc.want[i], " ", "@127.0.0.2 ", 1)
			}
			verdict := reach.Reachable
			switch tc.reason {
			case "":
			case reach.ReasonTLSHandshake: // before the token, so nobody knows who that is
				verdict = reach.Inconclusive
			default:
				verdict = reach.Unreachable
			}
			expect(t, w.check(), verdict, tc.reason, tc.want...)
		})
	}
}

// TestStranger: one who answers without proving the name may be the router
// between us and our own public address, unless our key is at another address
// beside, or this very process answered.
func TestStranger(t *testing.T) {
	for _, tc := range []struct {
		name    string
		leaf    testca.LeafOptions
		names   []string
		beside  bool // our key is at another address
		verdict reach.Verdict
		reason  string
	}{
		{"a router", testca.LeafOptions{SelfSigned: true}, []string{"router.test"}, false, reach.Inconclusive, reach.ReasonTLSName},
		{"a router beside us", testca.LeafOptions{SelfSigned: true}, []string{"router.test"}, true, reach.Unreachable, reach.ReasonTLSName},
		{"a stand-in for our name", testca.LeafOptions{SelfSigned: true}, []string{domain}, false, reach.Inconclusive, reach.ReasonTLSSelfSigned},
		{"a stand-in beside us", testca.LeafOptions{SelfSigned: true}, []string{domain}, true, reach.Unreachable, reach.ReasonTLSSelfSigned},
		{"somebody with our name", testca.LeafOptions{}, []string{domain}, false, reach.Unreachable, reach.ReasonStatus},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			leaf, err := w.signer.Issue(tc.leaf, tc.names...)
			if err != nil {
				t.Fatal(err)
			}
			w.serve("127.0.0.2", &tls.Config{Certificates: []tls.Certificate{leaf.Certificate}}, http.NotFoundHandler())
			records := []string{"A 127.0.0.2"}
			if tc.beside {
				w.serve("127.0.0.3", w.cert(testca.LeafOptions{}), w.keyHandler(w.key.PEM()))
				records = append(records, "A 127.0.0.3")
			}
			w.dns.Set(domain, records...)
			if report := w.check(); report.Verdict != tc.verdict || report.Reason != tc.reason {
				t.Errorf("verdict = %s %q, want %s %q", report.Verdict, report.Reason, tc.verdict, tc.reason)
			}
		})
	}
}

func TestExpiredIntermediate(t *testing.T) {
	w := newWorld(t)
	root := w.authority(nil, time.Now().AddDate(1, 0, 0))
	old := w.authority(root, time.Now().Add(-time.Hour))
	leaf := w.leafOf(old)
	w.config.Roots = x509.NewCertPool()
	w.config.Roots.AddCert(root.cert)
	w.serve("127.0.0.2", &tls.Config{Certificates: []tls.Certificate{leaf}}, w.keyHandler(w.key.PEM()))
	w.dns.Set(domain, "A 127.0.0.2")
	expect(t, w.check(), reach.Unreachable, reach.ReasonTLSExpired, "tls_chain@127.0.0.2 fail")
}

func TestPlainHTTPOnThePortOfTLS(t *testing.T) {
	w := newWorld(t)
	testnet.Serve(w.t, w.listen("127.0.0.2", w.port), nil, http.NotFoundHandler())
	w.dns.Set(domain, "A 127.0.0.2")
	report := w.check()
	expect(t, report, reach.Inconclusive, reach.ReasonTLSHandshake, "tls_handshake@127.0.0.2 fail")
	if f := find(report, "tls_handshake"); !strings.Contains(f.Cause, "plain HTTP") {
		t.Errorf("cause = %q", f.Cause)
	}
}

// A host that does not know the name says so with an alert.
func TestAlertOfTheOtherSide(t *testing.T) {
	w := newWorld(t)
	w.serve("127.0.0.2", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}, http.NotFoundHandler())
	w.dns.Set(domain, "A 127.0.0.2")
	report := w.check()
	expect(t, report, reach.Inconclusive, reach.ReasonTLSHandshake, "tls_handshake@127.0.0.2 fail")
	if f := find(report, "tls_handshake"); !strings.Contains(f.Cause, "no certificate for this name yet") {
		t.Errorf("cause = %q", f.Cause)
	}
}

func TestConnectionCutInTheHandshake(t *testing.T) {
	w := newWorld(t)
	listener := w.listen("127.0.0.2", w.port)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if conn, err := listener.Accept(); err == nil {
			_ = conn.Close()
		}
	}()
	w.dns.Set(domain, "A 127.0.0.2")
	report := w.check()
	<-ended
	expect(t, report, reach.Inconclusive, reach.ReasonTLSHandshake, "tls_handshake@127.0.0.2 fail")
	if f := find(report, "tls_handshake"); !strings.Contains(f.Cause, "firewall") {
		t.Errorf("cause = %q", f.Cause)
	}
}

// What a certificate of another names is shown, cut and quoted.
func TestNamesOfAnotherCertificate(t *testing.T) {
	for name, tc := range map[string]struct {
		names []string
		want  string
	}{
		"several": {[]string{"a.test", "b.test", "c.test", "d.test", "e.test"}, `it names "a.test", "b.test", "c.test" and 2 more.`},
		"address": {[]string{"192.168.1.1"}, `it names "192.168.1.1".`},
		"nothing": {[]string{}, "it names nothing."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			leaf, err := w.signer.Issue(testca.LeafOptions{NoCommonName: true}, tc.names...)
			if err != nil {
				t.Fatal(err)
			}
			w.serve("127.0.0.2", &tls.Config{Certificates: []tls.Certificate{leaf.Certificate}}, w.keyHandler(w.key.PEM()))
			w.dns.Set(domain, "A 127.0.0.2")
			report := w.check()
			expect(t, report, reach.Unreachable, reach.ReasonTLSName, "tls_name@127.0.0.2 fail", "tls_cn@127.0.0.2 warn")
			if f := find(report, "tls_name"); !strings.HasSuffix(f.Seen, tc.want) {
				t.Errorf("seen = %q, want %q at its end", f.Seen, tc.want)
			}
		})
	}
}

// No authority can put a name of more than 64 bytes into a common name.
func TestLongDomain(t *testing.T) {
	long := strings.Repeat("a", 60) + "." + domain
	w := newWorld(t)
	w.serve("127.0.0.2", w.cert(testca.LeafOptions{NoCommonName: true}, long), w.keyHandler(w.key.PEM()))
	w.dns.Set(long, "A 127.0.0.2")
	expect(t, w.prober().Check(t.Context(), long, w.key), reach.Reachable, "")
}
