package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/keystore"
	"wellkey/registrar/reach"
)

func TestHealthyHost(t *testing.T) {
	w := newWorld(t).withTesla()
	told := make(chan struct{}) // what comes before these two does not wait for them
	w.config.Tell = func(g doctor.Group) {
		if g.Name == doctor.NameClock {
			close(told)
		}
	}
	w.config.Storage = func() finding.Finding {
		<-told
		return finding.Finding{ID: "storage", Status: finding.OK, Seen: "It answers."}
	}
	w.config.Passed = func() []finding.Finding {
		<-told
		return []finding.Finding{{ID: "passthrough", Status: finding.OK, On: "telemetry.example.test", Seen: "fleet-telemetry:443 takes connections."}}
	}
	w.good(w.host)
	w.good("::1")
	w.records("A "+w.host, "AAAA ::1")
	report := w.examine()
	expect(t, report, doctor.Well)
	var names []string
	for _, g := range report.Groups {
		names = append(names, strings.TrimSpace(string(g.Name)+" "+g.On))
	}
	if want := []string{"domain", "dns", "address " + w.host, "address ::1", "key", "clock", "storage", "passthrough", "tesla na", "tesla eu"}; !slices.Equal(names, want) {
		t.Errorf("groups %q, want %q", names, want)
	}
	for _, id := range doctor.Checks() {
		if f := find(report, id); f.Status != finding.OK && !slices.Contains([]string{"domain_name", "look", "key_same"}, id) {
			t.Errorf("%s = %+v, want ok", id, f)
		}
	}
	if want := "All is well: key.example.test gives its key, and Tesla has it on record in na and eu."; report.Verdict != want {
		t.Errorf("verdict %q, want %q", report.Verdict, want)
	}
	if f := find(report, "key_parse"); f.On != "" {
		t.Errorf("what is the same at all addresses is told for %s", f.On)
	}
}

// Any host can be examined, with nothing to compare it with.
func TestHealthyHostOfSomebodyElse(t *testing.T) {
	w := newWorld(t)
	w.config.Local = doctor.Local{}
	w.probe.CA = ""
	w.good(w.host)
	w.good(w.host2)
	w.records("A "+w.host, "A "+w.host2)
	report := w.examine()
	expect(t, report, doctor.Well)
	if want := "All is well: key.example.test gives its key; Tesla was not asked."; report.Verdict != want {
		t.Errorf("verdict %q, want %q", report.Verdict, want)
	}
	if f := find(report, "key_same"); f.Status != finding.OK {
		t.Errorf("key_same = %+v, want ok", f)
	}
}

func TestBrokenAAAABesideGoodA(t *testing.T) {
	w := newWorld(t)
	w.good(w.host)
	w.records("A "+w.host, "AAAA ::1")
	report := w.examine()
	expect(t, report, doctor.Fix, "dial@::1 fail")
	if !strings.Contains(report.Verdict, "delete that AAAA record") {
		t.Errorf("verdict %q, want that the record goes", report.Verdict)
	}
}

// A wrong spelling is told with the right one, and the rest is about that.
func TestSpelling(t *testing.T) {
	for _, row := range []struct {
		typed, examined string
		outcome         doctor.Outcome
		verdict         string
		troubles        []string
	}{
		{"https://Key.Example.Test:8443/path", "key.example.test", doctor.Fix, "Write key.example.test", []string{"domain fail"}},
		{"key.example.test.", "key.example.test", doctor.Fix, "Write key.example.test", []string{"domain fail"}},
		{"schlüssel.example", "xn--schlssel-95a.example", doctor.Fix, "Write xn--schlssel-95a.example", []string{"domain fail"}},
		{"github.io", "", doctor.Fix, "example.github.io", []string{"domain fail"}},
		{"localhost", "", doctor.Fix, "example.com", []string{"domain fail"}},
		{"192.0.2.7", "", doctor.Fix, "host name", []string{"domain fail"}},
		{"my-tesla.example.test", "my-tesla.example.test", doctor.Well, "domain_name", []string{"domain_name warn"}},
	} {
		prober := &stub{}
		report := doctor.Run(context.Background(), doctor.Config{Domain: row.typed, Prober: prober})
		expect(t, report, row.outcome, row.troubles...)
		if prober.domain != row.examined || report.Domain != row.examined || report.Typed != row.typed {
			t.Errorf("%s: examined %q, reported %q; want %q", row.typed, prober.domain, report.Domain, row.examined)
		}
		if !strings.Contains(report.Verdict, row.verdict) {
			t.Errorf("%s: verdict %q, want %q in it", row.typed, report.Verdict, row.verdict)
		}
	}
}

// A stub is a look from outside that finds nothing wrong, or what it is told.
type stub struct {
	domain string
	report *reach.Report
}

func (s *stub) Examine(_ context.Context, domain string, _ keystore.Key) reach.Report {
	s.domain = domain
	if s.report != nil {
		return *s.report
	}
	return reach.Report{Domain: domain, Verdict: reach.Reachable}
}

// A look that ended without a word must not pass for a good one.
func TestLookWithoutFindings(t *testing.T) {
	for _, reason := range []string{reach.ReasonInternal, reach.ReasonCanceled} {
		report := doctor.Run(context.Background(), doctor.Config{Domain: domain,
			Prober: &stub{report: &reach.Report{Verdict: reach.Inconclusive, Reason: reason}}})
		expect(t, report, doctor.Undecided, "look unknown")
	}
}

func TestLocalKey(t *testing.T) {
	_, key := testnet.Key(t)
	_, refused := keystore.Parse([]byte("<html>"))
	for name, row := range map[string]struct {
		local  doctor.Local
		status finding.Status
		seen   string
	}{
		"not set":       {doctor.Local{}, finding.Skipped, "No key file is set"},
		"not there":     {doctor.Local{Path: "/k.pem"}, finding.Skipped, `no key file "/k.pem"`},
		"good":          {doctor.Local{Path: "/k.pem", Key: key}, finding.OK, key.Fingerprint()},
		"warning":       {doctor.Local{Path: "/k.pem", Key: key, Warnings: []string{"others can read it"}}, finding.Warn, "Others can read it."},
		"no key":        {doctor.Local{Path: "/k.pem", Err: refused}, finding.Fail, "web page"},
		"forbidden":     {doctor.Local{Path: "/k.pem", Err: fmt.Errorf("reading /k.pem: %w", fs.ErrPermission)}, finding.Unknown, "permission"},
		"other trouble": {doctor.Local{Path: "/k.pem", Err: errors.New("is too open")}, finding.Fail, "Is too open."},
	} {
		report := doctor.Run(context.Background(), doctor.Config{Domain: domain, Prober: &stub{}, Local: row.local})
		f := find(report, "key_local")
		if f.Status != row.status || !strings.Contains(f.Seen, row.seen) {
			t.Errorf("%s: %+v, want %s and %q", name, f, row.status, row.seen)
		}
	}
}

// Every way in which a host may misbehave gives that finding and no other.
func TestFindsExactlyTheFault(t *testing.T) {
	rows := slices.Concat(namesRows(), connectionRows(), answerRows(), keyRows())
	covered := map[string]bool{}
	for _, row := range rows {
		for _, want := range row.want {
			covered[strings.FieldsFunc(want, func(c rune) bool { return c == '@' || c == ' ' })[0]] = true
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.records("A " + w.host)
			row.build(w)
			outcome := doctor.Well
			for _, want := range row.want {
				if strings.HasSuffix(want, " fail") {
					outcome = doctor.Fix
				} else if strings.HasSuffix(want, " unknown") && outcome == doctor.Well {
					outcome = doctor.Undecided
				}
			}
			var wanted []string
			for _, want := range row.want {
				wanted = append(wanted, strings.Replace(want, "@HOST", "@"+w.host, 1))
			}
			expect(t, w.examine(), outcome, wanted...)
		})
	}
	for _, id := range doctor.Checks() {
		// Those of the other tests.
		if elsewhere := slices.Contains([]string{"domain", "domain_name", "look", "key_local", "storage", "passthrough"}, id); !covered[id] && !elsewhere && !strings.HasPrefix(id, "tesla_") {
			t.Errorf("no row for %s", id)
		}
	}
}

type row struct {
	name  string
	build func(*world)
	want  []string
}

// at stands for the first host of the world, which is another one in every test.
const at = "@HOST "

func namesRows() []row {
	return []row{
		{"no such name", func(w *world) { w.dns.Set(domain); w.second.Set(domain); w.dns.Set("other.test", "A "+w.host) }, []string{"dns_resolves fail"}},
		{"resolvers disagree", func(w *world) {
			w.good(w.host)
			w.second.Set(domain, "A 127.0.0.9")
		}, []string{"dial@127.0.0.9 fail", "dns_agree warn"}},
		{"IPv6 only", func(w *world) { w.good("::1"); w.records("AAAA ::1") }, []string{"dns_ipv4 warn"}},
		{"CAA of another authority", func(w *world) {
			w.good(w.host)
			w.records("A "+w.host, `CAA 0 issue "sectigo.com"`)
		}, []string{"dns_caa fail"}},
		{"a challenge that anybody can have", func(w *world) {
			w.good(w.host)
			w.dns.Set("_acme-challenge."+domain, "CNAME x.lapsed.example.")
		}, []string{"dns_challenge warn"}},
		{"private", func(w *world) { w.probe.AllowPrivate = false; w.records("A 192.168.1.2") }, []string{"dns_public@192.168.1.2 fail"}},
		{"CGNAT", func(w *world) { w.probe.AllowPrivate = false; w.records("A 100.64.1.2") }, []string{"dns_public@100.64.1.2 fail"}},
		{"loopback", func(w *world) { w.probe.AllowPrivate = false }, []string{"dns_public" + at + "fail"}},
	}
}

func connectionRows() []row {
	leaf := func(o testca.LeafOptions, names ...string) func(*world) {
		return func(w *world) { w.serve(w.host, w.cert(o, names...), file(w.key.PEM())) }
	}
	now := time.Now()
	return []row{
		{"nobody listens", func(*world) {}, []string{"dial" + at + "unknown"}},
		{"plain HTTP on the port of TLS", func(w *world) {
			testnet.Serve(w.t, w.listen(w.host, w.port), nil, file(w.key.PEM()))
			testnet.Serve(w.t, w.listen(w.host, w.plain), nil, http.NotFoundHandler())
		}, []string{"tls_handshake" + at + "fail"}},
		{"another name", leaf(testca.LeafOptions{}, "other.test"), []string{"tls_name" + at + "fail", "tls_cn" + at + "warn", "tls_no_sni" + at + "warn"}},
		{"self-signed", leaf(testca.LeafOptions{SelfSigned: true}), []string{"tls_chain" + at + "fail"}},
		{"incomplete chain", leaf(testca.LeafOptions{Incomplete: true}), []string{"tls_chain" + at + "fail"}},
		{"unknown authority", func(w *world) { w.probe.Roots = x509.NewCertPool(); w.good(w.host) }, []string{"tls_chain" + at + "fail"}},
		{"expired", leaf(testca.LeafOptions{NotBefore: now.AddDate(0, -3, 0), NotAfter: now.Add(-time.Hour)}), []string{"tls_dates" + at + "fail"}},
		{"not valid yet", leaf(testca.LeafOptions{NotBefore: now.Add(time.Hour)}), []string{"tls_dates" + at + "fail"}},
		{"renewal overdue", leaf(testca.LeafOptions{NotBefore: now.AddDate(0, 0, -80), NotAfter: now.AddDate(0, 0, 10)}), []string{"tls_dates" + at + "warn"}},
		{"no common name", leaf(testca.LeafOptions{NoCommonName: true}), []string{"tls_cn" + at + "warn"}},
		{"another certificate without SNI", func(w *world) {
			good, other := w.cert(testca.LeafOptions{}), w.cert(testca.LeafOptions{}, "other.test")
			w.serve(w.host, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				if hello.ServerName == domain {
					return good, nil
				}
				return other, nil
			}}, file(w.key.PEM()))
		}, []string{"tls_no_sni" + at + "warn"}},
		{"port 80 closed", func(w *world) {
			testnet.Serve(w.t, w.listen(w.host, w.port), w.cert(testca.LeafOptions{}), file(w.key.PEM()))
		}, []string{"http_port80" + at + "warn"}},
	}
}

// unless serves the key, but for the requests that bad answers itself.
func unless(bad func(http.ResponseWriter, *http.Request) bool) func(*world) {
	return func(w *world) {
		next := file(w.key.PEM())
		w.serve(w.host, w.cert(testca.LeafOptions{}), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !bad(rw, r) {
				next.ServeHTTP(rw, r)
			}
		}))
	}
}

// always answers with status, body, and pairs of header fields.
func always(status int, body string, header ...string) func(*world) {
	return unless(func(rw http.ResponseWriter, _ *http.Request) bool {
		for pair := range slices.Chunk(header, 2) {
			rw.Header().Set(pair[0], pair[1])
		}
		rw.WriteHeader(status)
		_, _ = rw.Write([]byte(body)) // not to HEAD
		return true
	})
}

func answerRows() []row {
	const page = "<!DOCTYPE html><html><body>Hello</body></html>"
	header := func(name, value string) func(*world) {
		return func(w *world) {
			body := w.key.PEM()
			w.serve(w.host, w.cert(testca.LeafOptions{}), http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Type", "text/plain")
				rw.Header().Set(name, value)
				_, _ = rw.Write(body) // not to HEAD
			}))
		}
	}
	return []row{
		{"no answer", unless(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }), []string{"http_answer" + at + "fail"}},
		{"not found", always(404, "no"), []string{"http_status" + at + "fail"}},
		{"server error", always(502, "no"), []string{"http_status" + at + "fail"}},
		{"redirect", always(301, "", "Location", "https://www.example.test/"), []string{"http_redirect" + at + "fail"}},
		{"web page", always(200, page), []string{"http_html" + at + "fail"}},
		{"bot challenge", always(403, page, "Cf-Mitigated", "challenge"), []string{"http_bot_challenge" + at + "fail", "http_status" + at + "fail"}},
		{"login page", always(200, `<html><input type="password"></html>`), []string{"http_bot_challenge" + at + "fail", "http_html" + at + "fail"}},
		{"content type of a page", header("Content-Type", "text/html"), []string{"http_content_type" + at + "warn"}},
		{"too long", always(200, strings.Repeat("x", 9000), "Content-Type", "text/plain"), []string{"http_length" + at + "fail"}},
		{"no HEAD", unless(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodHead {
				return false
			}
			rw.WriteHeader(http.StatusMethodNotAllowed)
			return true
		}), []string{"http_head" + at + "warn"}},
		{"no phones", unless(func(rw http.ResponseWriter, r *http.Request) bool {
			if !strings.HasPrefix(r.UserAgent(), "TeslaV4Watch/") {
				return false
			}
			rw.WriteHeader(http.StatusBadRequest)
			return true
		}), []string{"http_phone" + at + "fail"}},
		{"clock", header("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)), []string{"clock warn"}},
	}
}

func keyRows() []row {
	body := func(make func(*world) []byte) func(*world) {
		return func(w *world) { w.serve(w.host, w.cert(testca.LeafOptions{}), file(make(w))) }
	}
	edit := func(edit func(string) string) func(*world) {
		return body(func(w *world) []byte { return []byte(edit(string(w.key.PEM()))) })
	}
	return []row{
		{"private key", body(func(w *world) []byte {
			der, err := x509.MarshalPKCS8PrivateKey(w.private)
			if err != nil {
				w.t.Fatal(err)
			}
			return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		}), []string{"key_private fail"}},
		{"RSA", body(func(w *world) []byte {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				w.t.Fatal(err)
			}
			return testnet.PublicPEM(w.t, &key.PublicKey)
		}), []string{"key_parse fail"}},
		{"another curve", body(func(w *world) []byte {
			key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				w.t.Fatal(err)
			}
			return testnet.PublicPEM(w.t, &key.PublicKey)
		}), []string{"key_parse fail"}},
		{"certificate", body(func(w *world) []byte { return w.signer.RootsPEM() }), []string{"key_parse fail"}},
		{"two blocks", edit(func(s string) string { return s + s }), []string{"key_parse fail"}},
		{"CRLF", edit(func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }), []string{"key_canonical warn"}},
		{"byte order mark", edit(func(s string) string { return "\ufeff" + s }), []string{"key_canonical warn"}},
		{"trailing bytes", edit(func(s string) string { return s + "\n\n" }), []string{"key_canonical warn"}},
		{"another key", body(func(w *world) []byte { _, other := testnet.Key(w.t); return other.PEM() }), []string{"key_match fail"}},
		{"different keys", func(w *world) {
			w.config.Local = doctor.Local{}
			_, other := testnet.Key(w.t)
			w.good(w.host)
			w.serve(w.host2, w.cert(testca.LeafOptions{}), file(other.PEM()))
			w.records("A "+w.host, "A "+w.host2)
		}, []string{"key_same fail"}},
	}
}
