package certs_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/secret"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/server/certs"
)

func TestObtainByEachChallenge(t *testing.T) {
	for _, test := range []struct {
		name          string
		noHTTP, noTLS bool
	}{{"http-01", false, true}, {"tls-alpn-01", true, false}, {"both", false, false}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, test.name+".test", testca.Config{})
			cfg := r.config(t)
			changes := 0
			cfg.OnChange = func(string) { changes++ }
			cfg.Registerer = prometheus.NewRegistry()
			if test.noHTTP {
				cfg.HTTPAddr = nil
			}
			if test.noTLS {
				cfg.TLSAddr = nil
			}
			m := r.start(t, cfg)
			d := m.settle(t)
			leaf := r.leaf(t, m, time.Now())
			if leaf.Subject.CommonName != r.domain {
				t.Errorf("got common name %q, want %q: the profile is not classic", leaf.Subject.CommonName, r.domain)
			}
			if d < time.Hour || d > 9*time.Hour {
				t.Errorf("got a wait of %v after the certificate, want some hours", d)
			}
			status := m.Status()
			if !status.Have || status.Source != "acme" || status.Attempts != 1 || status.LastError != nil || status.Directory != r.ca.Directory() ||
				!status.NotAfter.Equal(leaf.NotAfter) || !strings.Contains(status.Issuer, "Pebble Intermediate") ||
				!status.Renewal.After(time.Now()) || !status.Renewal.Before(leaf.NotAfter) || status.NextAttempt.Before(time.Now()) {
				t.Errorf("got status %+v", status)
			}
			if changes != 1 || r.ca.Finalized() != 1 {
				t.Errorf("got %d changes and %d certificates, want 1 and 1", changes, r.ca.Finalized())
			}
			if at := status.ValidatedAt; at.Before(leaf.NotBefore) || at.After(time.Now()) {
				t.Errorf("the CA validated at %v, want a moment within the test", at)
			}
			checkMetrics(t, cfg.Registerer.(*prometheus.Registry))
		})
	}
}

func checkMetrics(t *testing.T, registry *prometheus.Registry) {
	t.Helper()
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	if n, err := testutil.GatherAndCount(registry); err != nil || n != 8+len(certs.Roles())+len(certs.Reasons()) {
		t.Errorf("got %d metrics, %v, want 8, one a role and one a reason", n, err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP wellkey_acme_issuance_attempts_total Attempts to obtain or renew a certificate, by authority: primary or fallback.
# TYPE wellkey_acme_issuance_attempts_total counter
wellkey_acme_issuance_attempts_total{authority="primary"} 1
`), "wellkey_acme_issuance_attempts_total"); err != nil {
		t.Error(err)
	}
}

func TestRestartOrdersNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "restart.test", testca.Config{})
	began := time.Now()
	first := r.start(t, r.config(t))
	first.settle(t)
	ordering := time.Since(began)
	want, validated := r.leaf(t, first, time.Now()).SerialNumber, first.Status().ValidatedAt
	first.stop()
	// What a killed process leaves: a lock that still looks fresh.
	lock, err := json.Marshal(map[string]time.Time{"created": time.Now(), "updated": time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "locks", "issue_cert_"+r.domain+".lock"), lock, 0o644); err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	r.ca.Intercept(func(http.ResponseWriter, *http.Request) bool { requests.Add(1); return false })
	r.relisten(t)
	began = time.Now()
	second := r.start(t, r.config(t))
	second.settle(t)
	// certmagic would wait 10 s for the lock, which nobody has; a busy machine takes
	// as long for the first start, too, with its order.
	if took := time.Since(began); took > max(10*time.Second, ordering) {
		t.Errorf("serving took %v, after %v for the order", took, ordering)
	}
	if got := r.leaf(t, second, time.Now()).SerialNumber; got.Cmp(want) != 0 {
		t.Errorf("got serial %x, want %x", got, want)
	}
	if got := second.Status().ValidatedAt; validated.IsZero() || !got.Equal(validated) {
		t.Errorf("the CA validated at %v, want still %v", got, validated)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("got %d requests to the CA, want none", n)
	}
}

func TestCADownThenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "down.test", testca.Config{})
	r.ca.Intercept(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	m := r.start(t, r.config(t))
	if d := m.settle(t); d < 59*time.Second || d > 66*time.Second {
		t.Errorf("after one failure: got a wait of %v, want a minute and up to a tenth", d)
	}
	if _, err := shake(t, m, r.domain); err == nil {
		t.Error("handshake without a certificate: got no error")
	}
	if d := m.again(t); d < 599*time.Second || d > 11*time.Minute {
		t.Errorf("after two failures: got a wait of %v, want ten minutes and up to a tenth", d)
	}
	if status := m.Status(); status.Have || status.Attempts != 2 || status.LastError == nil || status.Failures[certs.ReasonNetwork] != 2 {
		t.Errorf("while the CA is down: got status %+v", status)
	}
	r.ca.Intercept(nil)
	m.again(t)
	r.leaf(t, m, time.Now())
	if status := m.Status(); status.LastError != nil || status.Attempts != 3 {
		t.Errorf("after the CA is back: got status %+v", status)
	}
}

func TestExpiredCertificateIsServedAndReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, "expired.test", testca.Config{})
	signer, err := testca.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().AddDate(0, -4, 0)
	expired, err := signer.Issue(testca.LeafOptions{NotBefore: old, NotAfter: old.AddDate(0, 3, 0)}, r.domain)
	if err != nil {
		t.Fatal(err)
	}
	r.put(t, keys.SiteCert, expired.CertPEM)
	r.put(t, keys.SitePrivateKey, expired.KeyPEM)
	r.put(t, keys.SiteMeta, []byte(`{"sans":["expired.test"]}`))
	// The CA holds the attempt until we have seen what is served meanwhile.
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	r.ca.Intercept(func(http.ResponseWriter, *http.Request) bool { asked <- struct{}{}; <-answer; return false })
	m := r.start(t, r.config(t))
	<-asked
	chain, err := shake(t, m, r.domain)
	if err != nil {
		t.Fatalf("while the CA is asked: %v", err)
	}
	verify(t, chain, r.domain, signer.Roots(), old.AddDate(0, 1, 0))
	close(answer)
	m.settle(t)
	r.leaf(t, m, time.Now())
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, path, header, detail string
	}{
		{"directory", testca.DirectoryPath, "7200", "too many"},
		{"seconds", testca.NewOrderPath, "7200", "too many"},
		{"date", testca.NewOrderPath, time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), "too many"},
		{"text", testca.NewOrderPath, "", "too many certificates, retry after " + time.Now().Add(2*time.Hour).UTC().Format(time.DateTime) + " UTC: see the docs"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "limited-"+test.name+".test", testca.Config{})
			r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
				if req.URL.Path != test.path {
					return false
				}
				w.Header().Set("Content-Type", "application/problem+json")
				if test.header != "" {
					w.Header().Set("Retry-After", test.header)
				}
				w.WriteHeader(http.StatusTooManyRequests)
				_ = json.NewEncoder(w).Encode(map[string]any{"type": "urn:ietf:params:acme:error:rateLimited", "detail": test.detail, "status": 429})
				return true
			})
			m := r.start(t, r.config(t))
			if d := m.settle(t); d < 2*time.Hour-3*time.Minute || // the tests before it take a while
				d > 2*time.Hour+10*time.Minute {
				t.Errorf("got a wait of %v, want two hours and up to ten minutes", d)
			}
			if r.ca.Orders() > 1 {
				t.Errorf("got %d orders, want one at most", r.ca.Orders())
			}
			last := m.Status().LastError
			if last == nil || last.Reason != certs.ReasonRateLimited || !strings.Contains(last.Text, test.detail) {
				t.Errorf("got %+v", last)
			}
		})
	}
}

func TestWrongExternalAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, "eab.test", testca.Config{EAB: map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}})
	cfg := r.config(t)
	cfg.EAB = &certs.EAB{KeyID: "kid-2", MACKey: secret.New("c2VjcmV0LXRoYXQtaXMtd3Jvbmc")}
	m := r.start(t, cfg)
	m.settle(t)
	last := m.Status().LastError
	if last == nil || last.Reason != certs.ReasonEAB || !strings.Contains(last.Fix, "acme_eab_key_id") || last.Text == "" {
		t.Errorf("got %+v, want words about the external account", last)
	}
	m.stop()
	r.relisten(t)
	cfg.EAB = &certs.EAB{KeyID: "kid-1", MACKey: secret.New("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")}
	m = r.start(t, cfg)
	m.settle(t)
	r.leaf(t, m, time.Now())
}

func TestFailuresOfTheWorld(t *testing.T) {
	t.Parallel()
	t.Run("roots of the CA's API are missing", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "untrusted.test", testca.Config{})
		cfg := r.config(t)
		cfg.Roots = nil
		m := r.start(t, cfg)
		m.settle(t)
		if last := m.Status().LastError; last == nil || last.Reason != certs.ReasonUntrusted || !strings.Contains(last.Fix, "acme_roots") {
			t.Errorf("got %+v", last)
		}
	})
	t.Run("ports are not forwarded", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "closed.test", testca.Config{})
		port, _ := testnet.Ports(t, "127.0.0.1")
		r.ca.SetPorts(port, port)
		cfg := r.config(t)
		cfg.TLSAddr = nil // Pebble calls a closed TLS port "unauthorized"
		m := r.start(t, cfg)
		m.settle(t)
		if last := m.Status().LastError; last == nil || last.Reason != certs.ReasonConnection || !strings.Contains(last.Fix, "ports 80 and 443") {
			t.Errorf("got %+v", last)
		}
	})
	t.Run("storage is lost", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "lost.test", testca.Config{})
		cfg := r.config(t)
		if err := errors.Join(os.RemoveAll(r.dir), os.WriteFile(r.dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		m := r.start(t, cfg)
		if d := m.settle(t); d > 11*time.Minute {
			t.Errorf("got a wait of %v", d)
		}
		if last := m.Status().LastError; last == nil || last.Reason != certs.ReasonStorage || r.ca.Orders() != 0 {
			t.Errorf("got %+v and %d orders", last, r.ca.Orders())
		}
	})
}

func TestProfileThatTheCALacks(t *testing.T) {
	t.Parallel()
	r := newRig(t, "profile.test", testca.Config{Profiles: []testca.Profile{{Name: "default"}}})
	m := r.start(t, r.config(t))
	m.settle(t)
	r.leaf(t, m, time.Now())
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "renewal.test", testca.Config{Profiles: []testca.Profile{{Name: "classic", CommonName: true, Lifetime: 45 * time.Minute}}})
	cfg := r.config(t)
	var ahead time.Duration // read and written between two steps only
	cfg.Now = func() time.Time { return time.Now().Add(ahead) }
	r.ca.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Date", cfg.Now().UTC().Format(http.TimeFormat))
		return false
	})
	changes := 0
	cfg.OnChange = func(string) { changes++ }
	m := r.start(t, cfg)
	m.settle(t)
	first := r.leaf(t, m, time.Now()).SerialNumber
	// Pebble suggests two thirds of the life, but a day around that.
	r.put(t, keys.SiteMeta, []byte(`{"sans":["renewal.test"]}`))
	ahead = 20 * time.Minute
	m.again(t)
	if r.ca.Orders() != 1 {
		t.Fatalf("before its time: got %d orders, want 1", r.ca.Orders())
	}
	ahead = 31 * time.Minute
	if d := m.again(t); d < time.Hour {
		t.Errorf("got a wait of %v after a renewal, want at least an hour, whatever the dates say", d)
	}
	if second := r.leaf(t, m, time.Now()).SerialNumber; second.Cmp(first) == 0 {
		t.Error("got the old certificate")
	}
	if r.ca.Orders() != 2 || changes != 2 {
		t.Errorf("got %d orders and %d changes, want 2 and 2", r.ca.Orders(), changes)
	}
}

func TestCAMovesTheRenewal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ari.test", testca.Config{})
	m := r.start(t, r.config(t))
	m.settle(t)
	first := r.leaf(t, m, time.Now())
	now := time.Now()
	if err := r.ca.SetRenewalInfo(first, now.Add(-2*time.Hour), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	m.again(t)
	if r.ca.Orders() != 1 {
		t.Fatalf("before the CA may be asked again: got %d orders, want 1", r.ca.Orders())
	}
	// Six hours later: the stored answer is to be asked for again.
	key := keys.SiteMeta(r.issuerKey(), r.domain)
	meta, err := r.storage(t).Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var resource map[string]any
	if err := json.Unmarshal(meta, &resource); err != nil {
		t.Fatal(err)
	}
	resource["issuer_data"].(map[string]any)["renewal_info"].(map[string]any)["_retryAfter"] = now.Add(-time.Minute)
	if meta, err = json.Marshal(resource); err != nil {
		t.Fatal(err)
	}
	r.put(t, keys.SiteMeta, meta)
	replaces := make(chan string, 10)
	r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == testca.NewOrderPath {
			body, _ := io.ReadAll(req.Body)
			replaces <- payload(t, body)
			req.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		return false
	})
	m.again(t)
	if second := r.leaf(t, m, time.Now()); second.SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Fatal("got the old certificate")
	}
	if order := <-replaces; !strings.Contains(order, `"replaces":"`) {
		t.Errorf("got order %s, want one that says what it replaces", order)
	}
	if m.again(t); r.ca.Orders() != 2 {
		t.Errorf("got %d orders, want 2", r.ca.Orders())
	}
}

// TestRenewalOfWhatTheCADoesNotKnow: a certificate whose issuer the CA has given
// up, or whose account was another, is renewed all the same.
func TestRenewalOfWhatTheCADoesNotKnow(t *testing.T) {
	t.Parallel()
	r := newRig(t, "unknown.test", testca.Config{})
	begin := time.Now().AddDate(0, 0, -70)
	old := issue(t, testca.LeafOptions{NotBefore: begin, NotAfter: begin.AddDate(0, 0, 90)}, r.domain)
	r.put(t, keys.SiteCert, old.CertPEM)
	r.put(t, keys.SitePrivateKey, old.KeyPEM)
	var told, untold atomic.Int32 // orders that say what they replace, and others
	r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == testca.NewOrderPath && req.Method == http.MethodPost {
			body, _ := io.ReadAll(req.Body)
			req.Body = io.NopCloser(strings.NewReader(string(body)))
			if strings.Contains(payload(t, body), `"replaces":"`) {
				told.Add(1)
			} else {
				untold.Add(1)
			}
		}
		return false
	})
	m := r.start(t, r.config(t))
	m.settle(t)
	r.leaf(t, m, r.now())
	if told.Load() != 1 || untold.Load() != 1 || m.Status().Attempts != 1 || m.Status().Budget.Remaining != 1 {
		t.Errorf("got %d orders that tell and %d that do not, and %+v; want one each, in one attempt", told.Load(), untold.Load(), m.Status())
	}
}

func TestDamagedStorageHeals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		keys   []func(issuer, domain string) string
		data   string
		orders int
	}{
		{"cert", []func(string, string) string{keys.SiteCert}, "nonsense", 2},
		{"key", []func(string, string) string{keys.SitePrivateKey}, "", 2},
		{"meta", []func(string, string) string{keys.SiteMeta}, `{"sans":`, 1},
		{"all", []func(string, string) string{keys.SiteCert, keys.SitePrivateKey, keys.SiteMeta}, "\x00\x00", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "damaged-"+test.name+".test", testca.Config{})
			m := r.start(t, r.config(t))
			m.settle(t)
			m.stop()
			for _, key := range test.keys {
				r.put(t, key, []byte(test.data))
			}
			r.relisten(t)
			m = r.start(t, r.config(t))
			m.settle(t)
			r.leaf(t, m, time.Now())
			if r.ca.Orders() != test.orders {
				t.Errorf("got %d orders, want %d", r.ca.Orders(), test.orders)
			}
			for _, key := range test.keys {
				if data, err := r.storage(t).Load(t.Context(), key(r.issuerKey(), r.domain)); err != nil || string(data) == test.data {
					t.Errorf("got %q, %v, want it replaced", data, err)
				}
			}
		})
	}
}

func TestChangeOfCAServesTheOldUntilTheNew(t *testing.T) {
	t.Parallel()
	r := newRig(t, "moved.test", testca.Config{})
	signer, err := testca.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := signer.Issue(testca.LeafOptions{}, r.domain)
	if err != nil {
		t.Fatal(err)
	}
	store := r.storage(t)
	if err := errors.Join(store.Store(t.Context(), keys.SiteCert("other-ca", r.domain), leaf.CertPEM),
		store.Store(t.Context(), keys.SitePrivateKey("other-ca", r.domain), leaf.KeyPEM)); err != nil {
		t.Fatal(err)
	}
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	r.ca.Intercept(func(http.ResponseWriter, *http.Request) bool { asked <- struct{}{}; <-answer; return false })
	m := r.start(t, r.config(t))
	<-asked
	if chain, err := shake(t, m, r.domain); err != nil {
		t.Errorf("before the new CA answers: %v", err)
	} else {
		verify(t, chain, r.domain, signer.Roots(), time.Now())
	}
	close(answer)
	m.settle(t)
	r.leaf(t, m, time.Now())
}

func TestLogSaysWhatChangesAndNoMore(t *testing.T) {
	t.Parallel()
	r := newRig(t, "log.test", testca.Config{})
	cfg := r.config(t)
	core, seen := observer.New(zap.InfoLevel)
	cfg.Logger = zap.New(core)
	run := func() {
		m := r.start(t, cfg)
		m.settle(t)
		m.again(t)
		m.stop()
		r.relisten(t)
	}
	run()
	run()
	r.ca.Intercept(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	if err := cfg.Storage.Delete(t.Context(), "certificates"); err != nil {
		t.Fatal(err)
	}
	m := r.start(t, cfg)
	m.settle(t)
	var got []string
	for _, entry := range seen.All() {
		got = append(got, entry.Message)
	}
	if want := []string{"certificate obtained", "certificate loaded", "certificate attempt failed"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOtherNamesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, "names.test", testca.Config{})
	m := r.start(t, r.config(t))
	m.settle(t)
	for name, ok := range map[string]bool{"names.test": true, "NAMES.test": true, "": true, "other.test": false} {
		if _, err := shake(t, m, name); (err == nil) != ok {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
