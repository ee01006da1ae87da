package reach_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/finding"
	"wellkey/internal/probetoken"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testnet"
	"wellkey/keystore"
	"wellkey/registrar/reach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "key.example.test"

// A world is the internet of one test: a resolver, an authority, and hosts on
// loopback addresses that all use the same port.
type world struct {
	t           *testing.T
	dns         *testdns.Server
	signer      *testca.Signer
	private     *ecdsa.PrivateKey
	key         keystore.Key
	token       *probetoken.Token
	port, plain int
	config      reach.Config
}

func newWorld(t *testing.T) *world {
	t.Helper()
	token, err := probetoken.New()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dns: testnet.DNS(t), signer: testnet.Signer(t), token: token}
	w.port, w.plain = testnet.Ports(t, "")
	w.private, w.key = testnet.Key(t)
	w.config = reach.Config{
		Resolvers: []string{w.dns.Addr()}, Roots: w.signer.Roots(), Port: w.port, HTTPPort: w.plain,
		AllowPrivate: true, Token: token, UserAgent: "wellkey/test", Timeout: 20 * time.Second,
	}
	return w
}

// listen listens on one address of the world.
func (w *world) listen(ip string, port int) net.Listener {
	w.t.Helper()
	return testnet.Listen(w.t, net.JoinHostPort(ip, strconv.Itoa(port)))
}

// serve serves handler at ip over TLS.
func (w *world) serve(ip string, config *tls.Config, handler http.Handler) {
	w.t.Helper()
	testnet.Serve(w.t, w.listen(ip, w.port), config, handler)
}

// cert returns a TLS configuration with a leaf for names; none means the
// domain.
func (w *world) cert(options testca.LeafOptions, names ...string) *tls.Config {
	w.t.Helper()
	if len(names) == 0 {
		names = []string{domain}
	}
	return testnet.Certificate(w.t, w.signer, options, names...)
}

// good serves the key as wellkey does.
func (w *world) good(ip string) { w.serve(ip, w.cert(testca.LeafOptions{}), w.keyHandler(w.key.PEM())) }

// keyHandler serves body at the path of the key, and answers the probe token.
func (w *world) keyHandler(body []byte) http.Handler {
	file := testnet.File(reach.Path, body)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if answer := w.token.Answer(r.Header.Get(probetoken.Header)); answer != "" {
			rw.Header().Set(probetoken.Header, answer)
		}
		file.ServeHTTP(rw, r)
	})
}

func (w *world) prober() *reach.Prober {
	w.t.Helper()
	prober, err := reach.New(w.config)
	if err != nil {
		w.t.Fatal(err)
	}
	return prober
}

func (w *world) check() reach.Report {
	w.t.Helper()
	return w.prober().Check(context.Background(), domain, w.key)
}

// troubles returns what is not well in a report, as "id status" or
// "id@address status", and holds every finding to the rules for its texts.
func troubles(t *testing.T, report reach.Report) []string {
	t.Helper()
	list := []string{}
	for _, f := range report.Findings {
		if !slices.Contains(reach.Checks(), f.ID) {
			t.Errorf("finding %q is not in Checks", f.ID)
		}
		for _, text := range []string{f.Seen, f.Cause, f.Fix} {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(text) > 900 {
				t.Errorf("%s: text is not clean: %q", f.ID, text)
			}
		}
		if !strings.HasSuffix(f.Seen, ".") && !strings.Contains(f.Seen, "\"") {
			t.Errorf("%s: %q is not a sentence", f.ID, f.Seen)
		}
		if f.Status == finding.OK || f.Status == finding.Skipped {
			continue
		}
		if f.Cause == "" || f.Fix == "" {
			t.Errorf("%s: no cause or fix: %+v", f.ID, f)
		}
		at := f.ID
		if f.On != "" {
			at += "@" + f.On
		}
		list = append(list, at+" "+string(f.Status))
	}
	return list
}

// expect compares a report with what it must be.
func expect(t *testing.T, report reach.Report, verdict reach.Verdict, reason string, want ...string) {
	t.Helper()
	if report.Verdict != verdict || report.Reason != reason {
		t.Errorf("verdict = %s %q, want %s %q", report.Verdict, report.Reason, verdict, reason)
	}
	if reason != "" && !slices.Contains(reach.Reasons(), reason) {
		t.Errorf("reason %q is not in Reasons", reason)
	}
	deciding := report.Deciding()
	switch {
	case reason == "" && deciding.ID != "":
		t.Errorf("deciding = %+v, want none", deciding)
	case reason == reach.ReasonCanceled && deciding.ID != reason:
		t.Errorf("deciding = %+v, want id %q", deciding, reason)
	case reason != "" && reason != reach.ReasonCanceled && deciding.Fix == "":
		t.Errorf("deciding = %+v, want the finding behind %q", deciding, reason)
	}
	got := troubles(t, report)
	want = slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("troubles = %q, want %q", got, want)
	}
	if t.Failed() {
		for _, f := range report.Findings {
			t.Logf("%+v", f)
		}
	}
}

func find(report reach.Report, id string) finding.Finding {
	for _, f := range report.Findings {
		if f.ID == id {
			return f
		}
	}
	return finding.Finding{}
}
