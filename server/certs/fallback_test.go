package certs_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/secret"
	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// A pair is a rig with two CAs, and a Manager that may ask both.
type pair struct {
	*rig
	*run
	cfg  certs.Config
	wait time.Duration // that the Manager is in
}

func newPair(t *testing.T, domain string) *pair {
	t.Helper()
	p := &pair{rig: newRig(t, domain, testca.Config{})}
	fallback := p.startSecond(t, testca.Config{})
	p.cfg = p.config(t)
	p.cfg.Fallback = fallback
	p.cfg.Roots = p.ca.APIRoots()
	p.cfg.Roots.AppendCertsFromPEM(p.second.APIRootsPEM())
	return p
}

func (p *pair) begin(t *testing.T) {
	t.Helper()
	p.run = p.start(t, p.cfg)
	p.wait = p.settle(t)
}

func (p *pair) restart(t *testing.T) {
	t.Helper()
	p.stop()
	p.relisten(t)
	p.begin(t)
}

// passes lets time pass until done, or until the next step would be later than
// most, and returns how long it was.
func (p *pair) passes(t *testing.T, most time.Duration, done func() bool) time.Duration {
	t.Helper()
	begin := p.now()
	for !done() && p.now().Add(p.wait).Sub(begin) < most {
		p.wait = p.again(t)
	}
	return p.now().Sub(begin)
}

// refuseOrders makes a CA answer every new order with a problem.
func refuseOrders(ca *testca.CA, kind string, status int) {
	ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != testca.NewOrderPath || req.Method != http.MethodPost {
			return false
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"type":"urn:ietf:params:acme:error:` + kind + `","detail":"no"}`))
		return true
	})
}

// TestFallback is the whole story: the first CA is down for days, the second one
// is asked after one, and its certificate is as good as any; the renewal goes to
// the first one again.
func TestFallback(t *testing.T) {
	t.Parallel()
	p := newPair(t, "fallback.test")
	core, seen := observer.New(zap.InfoLevel)
	registry := prometheus.NewRegistry()
	p.cfg.Logger, p.cfg.Registerer = zap.New(core), registry
	p.ca.Intercept(down)
	begin := p.now()
	p.begin(t)
	p.passes(t, 23*time.Hour, func() bool { return p.second.Orders() > 0 })
	if n := p.second.Orders(); n != 0 {
		t.Fatalf("in the first 23 hours: got %d orders at the fallback, want none", n)
	}
	p.passes(t, 3*time.Hour, func() bool { return p.Status().Have })
	if took := p.now().Sub(begin); took < 24*time.Hour || took > 25*time.Hour {
		t.Errorf("the fallback was asked after %v, want a day", took)
	}
	s := p.Status()
	if s.Role != certs.Fallback || s.WhyFallback == nil || s.WhyFallback.Reason != certs.ReasonNetwork || s.LastError != nil ||
		len(s.Authorities) != 2 || s.Authorities[0].Directory != p.ca.Directory() || s.Authorities[1].Directory != p.second.Directory() ||
		s.Authorities[0].Budget.Remaining != 2 || s.Authorities[1].Budget.Remaining != 1 || s.Authorities[1].Attempts != 1 {
		t.Errorf("got %+v", s)
	}
	if n := seen.FilterMessageSnippet("the fallback is asked").Len(); n != 1 {
		t.Errorf("got %d lines that the fallback is asked, want 1", n)
	}
	if lines := seen.FilterMessage("certificate obtained").FilterField(zap.String("authority", "fallback")); lines.Len() != 1 {
		t.Errorf("got %d lines that the fallback gave a certificate, want 1", lines.Len())
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP wellkey_tls_certificate_authority Which authority issued the served certificate: 1 for the one that holds, primary, fallback, or other for one that the settings do not name any more.
# TYPE wellkey_tls_certificate_authority gauge
wellkey_tls_certificate_authority{authority="fallback",domain="fallback.test"} 1
wellkey_tls_certificate_authority{authority="other",domain="fallback.test"} 0
wellkey_tls_certificate_authority{authority="primary",domain="fallback.test"} 0
# HELP wellkey_acme_issuance_budget_remaining How many certificates wellkey may still ask the authority for now, by its own limits; of several domains, for the one with the fewest.
# TYPE wellkey_acme_issuance_budget_remaining gauge
wellkey_acme_issuance_budget_remaining{authority="fallback"} 1
wellkey_acme_issuance_budget_remaining{authority="primary"} 2
`), "wellkey_tls_certificate_authority", "wellkey_acme_issuance_budget_remaining"); err != nil {
		t.Error(err)
	}
	first := p.leafOf(t, p.second)

	p.cfg.Registerer = prometheus.NewRegistry()
	p.restart(t)
	if got := p.leafOf(t, p.second); got.SerialNumber.Cmp(first.SerialNumber) != 0 || p.second.Orders() != 1 {
		t.Errorf("after a restart: got serial %x and %d orders, want %x and 1", got.SerialNumber, p.second.Orders(), first.SerialNumber)
	}
	if s := p.Status(); s.Role != certs.Fallback || s.WhyFallback == nil || s.WhyFallback.Reason != certs.ReasonNetwork {
		t.Errorf("after a restart: got role %s because of %+v", s.Role, s.WhyFallback)
	}

	p.ca.Intercept(nil)
	p.passes(t, 70*24*time.Hour, func() bool { return p.Status().Role == certs.Primary })
	p.leafOf(t, p.ca)
	if s := p.Status(); s.WhyFallback != nil || p.ca.Finalized() != 1 || p.second.Finalized() != 1 {
		t.Errorf("after the renewal: got %+v and %d and %d certificates, want one each", s, p.ca.Finalized(), p.second.Finalized())
	}
}

// leafOf returns the certificate that is served, which must be of ca.
func (p *pair) leafOf(t *testing.T, ca *testca.CA) *x509.Certificate {
	t.Helper()
	chain, err := shake(t, p.run, p.domain)
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	verify(t, chain, p.domain, ca.Roots(), p.now())
	return chain[0]
}

func TestFallbackByReason(t *testing.T) {
	t.Parallel()
	for kind, status := range map[string]int{
		"rateLimited": 429, "rejectedIdentifier": 400, "caa": 403, "serverInternal": 500, "userActionRequired": 403, "malformed": 400,
		"connection": 400, "dns": 400, "unauthorized": 403, "somethingNew": 400,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, "because-"+strings.ToLower(kind)+".test")
			refuseOrders(p.ca, kind, status)
			p.begin(t)
			if took := p.passes(t, 30*time.Hour, func() bool { return p.Status().Have }); took < 24*time.Hour-time.Minute || took > 25*time.Hour {
				t.Errorf("the fallback was asked after %v, want a day; %+v", took, p.Status())
			}
			p.leafOf(t, p.second)
		})
	}
}

// TestFallbackThatFailsAlike: where every CA would find the same, the second one
// is asked once a day.
func TestFallbackThatFailsAlike(t *testing.T) {
	t.Parallel()
	p := newPair(t, "alike.test")
	refuseOrders(p.ca, "connection", 400)
	refuseOrders(p.second, "connection", 400)
	p.begin(t)
	p.passes(t, 4*24*time.Hour, func() bool { return false })
	if a := p.Status().Authorities; a[1].Attempts < 3 || a[1].Attempts > 4 || a[1].LastError == nil || a[0].FailingSince.IsZero() {
		t.Errorf("got %+v, want three or four attempts in the three days", a)
	}
}

// TestFallbackThatRefusesUs: what to do names the settings of the fallback.
func TestFallbackThatRefusesUs(t *testing.T) {
	t.Parallel()
	p := newPair(t, "refusesus.test")
	const mac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	p.cfg.Fallback = p.startSecond(t, testca.Config{EAB: map[string]string{"kid-1": mac}})
	p.cfg.Fallback.EAB = &certs.EAB{KeyID: "kid-2", MACKey: secret.New(mac)}
	p.cfg.Roots.AppendCertsFromPEM(p.second.APIRootsPEM())
	p.ca.Intercept(down)
	p.begin(t)
	p.passes(t, 30*time.Hour, func() bool { return p.Status().Authorities[1].LastError != nil })
	if last := p.Status().Authorities[1].LastError; last == nil || last.Reason != certs.ReasonEAB || !strings.Contains(last.Fix, "acme_fallback_eab_key_id and acme_fallback_eab_hmac_key") {
		t.Errorf("got %+v, want words about the fallback's external account", last)
	}
}

func TestFallbackIsNotForWhatIsOurs(t *testing.T) {
	t.Parallel()
	p := newPair(t, "ours.test")
	store := &fullStorage{Directory: p.storage(t), part: "issuance/"}
	store.full.Store(true)
	p.cfg.Storage = store
	p.begin(t)
	p.passes(t, 40*time.Hour, func() bool { return false })
	if n := p.ca.Orders() + p.second.Orders(); n != 0 || reasonOf(p.run) != certs.ReasonStorage {
		t.Errorf("got %d orders and %+v, want none", n, p.Status().LastError)
	}
}

// putOld stores a certificate of the first CA that is so many days old, of 90.
func (p *pair) putOld(t *testing.T, days int) *x509.Certificate {
	t.Helper()
	begin := time.Now().AddDate(0, 0, -days)
	leaf := issue(t, testca.LeafOptions{NotBefore: begin, NotAfter: begin.AddDate(0, 0, 90)}, p.domain)
	p.put(t, keys.SiteCert, leaf.CertPEM)
	p.put(t, keys.SitePrivateKey, leaf.KeyPEM)
	return leaf.Certificate.Leaf
}

func TestFallbackBeforeExpiry(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		age         int
		least, most time.Duration
	}{
		"not due":     {55, 0, 0},
		"due":         {65, 24 * time.Hour, 25 * time.Hour},
		"about to":    {82, time.Hour, 2 * time.Hour},
		"out of date": {95, time.Hour, 2 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, "expiry-"+strings.ReplaceAll(name, " ", "-")+".test")
			old := p.putOld(t, test.age)
			p.ca.Intercept(down)
			p.begin(t)
			took := p.passes(t, 30*time.Hour, func() bool { return p.second.Finalized() > 0 })
			chain, err := shake(t, p.run, p.domain)
			if err != nil {
				t.Fatal(err)
			}
			if test.most == 0 {
				if p.second.Orders() != 0 || chain[0].SerialNumber.Cmp(old.SerialNumber) != 0 {
					t.Error("the fallback was asked although nothing was due")
				}
				return
			}
			if took < test.least || took > test.most || chain[0].SerialNumber.Cmp(old.SerialNumber) == 0 {
				t.Errorf("the fallback gave a certificate after %v, want %v to %v", took, test.least, test.most)
			}
		})
	}
}

// TestFallbackHasItsOwnBudget: what was spent at the first CA is no reason to
// wait at the second, which has no more than the same.
func TestFallbackHasItsOwnBudget(t *testing.T) {
	t.Parallel()
	p := newPair(t, "budgets.test")
	p.refuseToFinalize()
	(&rig{ca: p.second}).refuseToFinalize()
	p.begin(t)
	p.passes(t, 5*24*time.Hour, func() bool { return false })
	if a, b := p.ca.Orders(), p.second.Orders(); a > 3 || b < 1 || b > 3 {
		t.Errorf("in a week: got %d and %d orders, want 3 each at most", a, b)
	}
}

// TestFirstIsPreferredOnceItIsBack: when both come back, the first one is asked.
func TestFirstIsPreferredOnceItIsBack(t *testing.T) {
	t.Parallel()
	p := newPair(t, "preferred.test")
	p.ca.Intercept(down)
	p.second.Intercept(down)
	p.begin(t)
	p.passes(t, 40*time.Hour, func() bool { return false })
	if p.Status().Authorities[1].Attempts == 0 {
		t.Fatal("the fallback was never asked")
	}
	p.ca.Intercept(nil)
	p.second.Intercept(nil)
	if took := p.passes(t, 3*time.Hour, func() bool { return p.Status().Have }); took > time.Hour {
		t.Errorf("took %v, want an hour at most", took)
	}
	p.leafOf(t, p.ca)
	if n := p.second.Orders(); n != 0 {
		t.Errorf("got %d orders at the fallback, want none", n)
	}
}

// TestNewestOfBothIsServed: whichever CA gave it.
func TestNewestOfBothIsServed(t *testing.T) {
	t.Parallel()
	p := newPair(t, "newest.test")
	old := p.putOld(t, 20)
	begin := time.Now().AddDate(0, 0, -10)
	newer := issue(t, testca.LeafOptions{NotBefore: begin, NotAfter: begin.AddDate(0, 0, 45)}, p.domain)
	other := &rig{domain: p.domain, dir: p.dir, ca: p.second}
	other.put(t, keys.SiteCert, newer.CertPEM)
	other.put(t, keys.SitePrivateKey, newer.KeyPEM)
	p.begin(t)
	chain, err := shake(t, p.run, p.domain)
	if err != nil {
		t.Fatal(err)
	}
	if chain[0].SerialNumber.Cmp(newer.Certificate.Leaf.SerialNumber) != 0 || p.Status().Role != certs.Fallback {
		t.Errorf("got serial %x of the %s, want the newer one", chain[0].SerialNumber, p.Status().Role)
	}
	// A newer one that is out of date is not better.
	past := issue(t, testca.LeafOptions{NotBefore: begin, NotAfter: begin.AddDate(0, 0, 5)}, p.domain)
	p.stop()
	other.put(t, keys.SiteCert, past.CertPEM)
	other.put(t, keys.SitePrivateKey, past.KeyPEM)
	p.relisten(t)
	p.begin(t)
	if chain, err = shake(t, p.run, p.domain); err != nil || chain[0].SerialNumber.Cmp(old.SerialNumber) != 0 {
		t.Errorf("got %v, want the older one that is in date", err)
	}
}

func TestDamageAtBothHeals(t *testing.T) {
	t.Parallel()
	p := newPair(t, "bothheal.test")
	p.ca.Intercept(down)
	p.begin(t)
	p.passes(t, 30*time.Hour, func() bool { return p.Status().Have })
	p.stop()
	p.put(t, keys.SiteCert, []byte("nonsense"))
	other := &rig{domain: p.domain, dir: p.dir, ca: p.second}
	other.put(t, keys.SiteMeta, []byte("{"))
	p.relisten(t)
	p.begin(t)
	p.leafOf(t, p.second)
	if n := p.second.Orders(); n != 1 {
		t.Errorf("got %d orders, want 1", n)
	}
}

func TestFallbackIsRefused(t *testing.T) {
	addr := func() string { return "127.0.0.1:1" }
	good := certs.Config{Storage: lastingStorage{}, TLSAddr: addr}
	for name, test := range map[string]struct {
		fallback certs.FallbackCA
		want     string
	}{
		"the same CA":     {certs.FallbackCA{Directory: "letsencrypt"}, "is the same CA as acme_directory"},
		"by its URL":      {certs.FallbackCA{Directory: "https://acme-v02.api.letsencrypt.org/directory"}, "is the same CA as acme_directory"},
		"unknown":         {certs.FallbackCA{Directory: "none"}, "acme_fallback_directory"},
		"ZeroSSL, no EAB": {certs.FallbackCA{Directory: "zerossl"}, "set acme_fallback_eab_key_id and acme_fallback_eab_hmac_key"},
		"half an EAB":     {certs.FallbackCA{Directory: "zerossl", EAB: &certs.EAB{KeyID: "k"}}, "acme_fallback_eab_key_id and acme_fallback_eab_hmac_key belong together"},
	} {
		cfg := good
		cfg.Fallback = &test.fallback
		if _, err := certs.New(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

func TestProspects(t *testing.T) {
	for _, reason := range certs.Reasons() {
		here, same := certs.WorthTryingElsewhere(reason)
		wantHere, wantSame := false, false
		switch reason {
		case certs.ReasonStorage, certs.ReasonCrashLoop, certs.ReasonClock, certs.ReasonEphemeral,
			certs.ReasonDNSProvider, certs.ReasonDNSZone, certs.ReasonDNSDelegate, certs.ReasonDNSLookup:
			wantHere = true
		case certs.ReasonConnection, certs.ReasonPerspectives, certs.ReasonDNS, certs.ReasonTLS, certs.ReasonUnauthorized, certs.ReasonDNSUnseen:
			wantSame = true
		}
		if here != wantHere || same != wantSame {
			t.Errorf("%s: got here %t, same elsewhere %t, want %t, %t", reason, here, same, wantHere, wantSame)
		}
	}
	if got := certs.PauseOfFallback(problem("connection", "refused", 400), 1); got < 24*time.Hour {
		t.Errorf("a long shot is repeated after %v, want a day", got)
	}
	if got := certs.PauseOfFallback(errors.New("HTTP 502"), 1); got > 2*time.Minute {
		t.Errorf("a hiccup is followed up after %v, want a minute", got)
	}
}
