package faults_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// A branch is a root with intermediates below it that a CA might change to.
type branch struct {
	root  *x509.Certificate
	chain []*x509.Certificate // the lowest first; without the root
	key   crypto.Signer       // of the lowest
}

// newBranch makes a root and so many intermediates.
func newBranch(t *testing.T, curve elliptic.Curve, intermediates int) *branch {
	t.Helper()
	b := new(branch)
	var above *x509.Certificate
	for n := range intermediates + 1 {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{CommonName: fmt.Sprintf("another CA %d", n)},
			NotBefore: time.Now().AddDate(-5, 0, 0), NotAfter: time.Now().AddDate(5, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		signer := b.key
		if above == nil {
			above, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signer)
		must(t, err)
		above, err = x509.ParseCertificate(der)
		must(t, err)
		if b.key = key; n == 0 {
			b.root = above
		} else {
			b.chain = append([]*x509.Certificate{above}, b.chain...)
		}
	}
	return b
}

// issue returns a certificate and its chain in PEM.
func (b *branch) issue(t *testing.T, domain string, key crypto.PublicKey, from, to time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain},
		NotBefore: from, NotAfter: to, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, b.chain[0], key, b.key)
	must(t, err)
	text := encode(der)
	for _, cert := range b.chain {
		text = append(text, encode(cert.Raw)...)
	}
	return text
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// keyOfOrders returns what gives the public key that the last order was finalized
// with.
func (s *sim) keyOfOrders() func() crypto.PublicKey {
	var key atomic.Value
	s.ca.breaks(func(w http.ResponseWriter, r *http.Request, pass func() *httptest.ResponseRecorder) {
		data, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(data))
		var jws, finalize struct{ Payload, CSR string }
		if json.Unmarshal(data, &jws) == nil {
			payload, _ := base64.RawURLEncoding.DecodeString(jws.Payload)
			_ = json.Unmarshal(payload, &finalize)
			der, _ := base64.RawURLEncoding.DecodeString(finalize.CSR)
			if csr, err := x509.ParseCertificateRequest(der); err == nil {
				key.Store(csr.PublicKey)
			}
		}
		change(func(body []byte) []byte { return body })(w, r, pass)
	}, testca.FinalizePath)
	return func() crypto.PublicKey { return key.Load() }
}

// TestUnfitCertificates: what the CA issues is judged before it replaces anything;
// what cannot be served is kept for whoever wants to know why, and counts.
func TestUnfitCertificates(t *testing.T) {
	t.Parallel()
	type answer func(t *testing.T, s *sim, b *branch, key crypto.PublicKey, good []byte) []byte
	now := time.Now()
	for name, test := range map[string]answer{
		"another key": func(t *testing.T, s *sim, b *branch, _ crypto.PublicKey, _ []byte) []byte {
			return b.issue(t, s.domain, b.key.Public(), now, now.AddDate(0, 0, 90))
		},
		"another name": func(t *testing.T, _ *sim, b *branch, key crypto.PublicKey, _ []byte) []byte {
			return b.issue(t, "other.example.com", key, now, now.AddDate(0, 0, 90))
		},
		"expired": func(t *testing.T, s *sim, b *branch, key crypto.PublicKey, _ []byte) []byte {
			return b.issue(t, s.domain, key, now.AddDate(0, 0, -90), now.Add(-time.Hour))
		},
		"of the future": func(t *testing.T, s *sim, b *branch, key crypto.PublicKey, _ []byte) []byte {
			return b.issue(t, s.domain, key, now.AddDate(1, 0, 0), now.AddDate(1, 0, 90))
		},
		"no chain": func(_ *testing.T, _ *sim, _ *branch, _ crypto.PublicKey, good []byte) []byte {
			block, _ := pem.Decode(good)
			return pem.EncodeToMemory(block)
		},
		"junk chain": func(t *testing.T, _ *sim, b *branch, _ crypto.PublicKey, good []byte) []byte {
			block, _ := pem.Decode(good)
			return append(pem.EncodeToMemory(block), encode(b.root.Raw)...)
		},
		"chain in the wrong order": func(_ *testing.T, _ *sim, _ *branch, _ crypto.PublicKey, good []byte) []byte {
			block, rest := pem.Decode(good)
			return append(bytes.Clone(rest), pem.EncodeToMemory(block)...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := due(t)
			b, key := newBranch(t, elliptic.P256(), 1), s.keyOfOrders()
			s.ca.breaks(change(func(good []byte) []byte { return test(t, s, b, key(), good) }), testca.CertificatePath)
			i := s.start()
			d := i.settle()
			if i.reason() != certs.ReasonUnfit || i.Status().Serial != s.seeded {
				t.Errorf("got %+v and serial %s, want the old certificate kept", i.Status().LastError, i.Status().Serial)
			}
			d = i.until(d, 23*time.Hour, never)
			if n := s.ca.count(testca.FinalizePath); n > budgetOfADay {
				t.Errorf("%d certificates in a day, want %d at most", n, budgetOfADay)
			}
			if found := quarantined(s.dir); len(found) == 0 {
				t.Error("what was issued is not kept")
			}
			s.ca.mends()
			i.renewed(d, 3*24*time.Hour)
		})
	}
}

// TestOtherChains: longer chains and other curves are served as they come.
func TestOtherChains(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]*branch{"P-384": newBranch(t, elliptic.P384(), 1), "three and P-521": newBranch(t, elliptic.P521(), 3)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := due(t)
			s.branch = b
			key := s.keyOfOrders()
			s.ca.breaks(change(func([]byte) []byte {
				return b.issue(t, s.domain, key(), time.Now().Add(-time.Minute), time.Now().AddDate(0, 0, 90))
			}), testca.CertificatePath)
			i := s.start()
			i.renewed(i.settle(), time.Minute)
			if s.watcher.certificates() == 0 || i.Status().Issuer != b.chain[0].Subject.CommonName {
				t.Errorf("got issuer %q", i.Status().Issuer)
			}
		})
	}
	t.Run("Pebble's chain of three", func(t *testing.T) {
		t.Parallel()
		s := due(t, func(c *testca.Config) { c.Chain = 3 })
		i := s.start()
		i.renewed(i.settle(), time.Minute)
	})
}

// TestLifetimes: whatever a certificate's life, it is renewed with about a third
// of it left, and not before.
func TestLifetimes(t *testing.T) {
	t.Parallel()
	for _, days := range []int{6, 45, 64, 90} {
		t.Run(fmt.Sprint(days), func(t *testing.T) {
			t.Parallel()
			life := time.Duration(days) * 24 * time.Hour
			s := newSim(t, func(c *testca.Config) {
				c.Profiles = []testca.Profile{{Name: "classic", CommonName: true, Lifetime: life}}
			})
			i := s.start()
			d := i.settle()
			began, first := s.now(), i.Status().Serial
			due := i.Status().Renewal.Sub(began)
			if due < life/2 || due > life*3/4 {
				t.Errorf("planned to be renewed after %v of %v", due, life)
			}
			i.until(d, life*3/4, func() bool { return i.Status().Serial != first })
			if took := s.now().Sub(began); i.Status().Serial == first || took < due || took > due+12*time.Hour {
				t.Errorf("renewed after %v: %t, want %v", took, i.Status().Serial != first, due)
			}
		})
	}
}

// TestRenewalInfo: whatever the CA says about when to renew, a certificate is
// renewed once for it, and what a CA that is out of its mind can make us order is
// bounded.
func TestRenewalInfo(t *testing.T) {
	t.Parallel()
	window := func(start, end time.Duration) fault {
		return func(w http.ResponseWriter, r *http.Request, pass func() *httptest.ResponseRecorder) {
			now := time.Now()
			say(http.StatusOK, "application/json", fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`,
				now.Add(start).UTC().Format(time.RFC3339), now.Add(end).UTC().Format(time.RFC3339)))(w, r, pass)
		}
	}
	past, future := window(-48*time.Hour, -24*time.Hour), window(1000*time.Hour, 1001*time.Hour)
	var flips atomic.Int32
	for name, test := range map[string]struct {
		fault fault
		least int // orders in a week, beside the first
	}{
		"past": {past, 1},
		"flapping": {func(w http.ResponseWriter, r *http.Request, pass func() *httptest.ResponseRecorder) {
			if flips.Add(1)%2 == 0 {
				past(w, r, pass)
			} else {
				future(w, r, pass)
			}
		}, 0},
		"ends before it begins": {window(-24*time.Hour, -48*time.Hour), 0},
		"year 1":                {say(http.StatusOK, "application/json", `{"suggestedWindow":{"start":"0001-01-01T00:00:00Z","end":"0001-01-02T00:00:00Z"}}`), 0},
		"garbage":               {say(http.StatusOK, "application/json", `{"suggestedWindow":{"start":7}}`), 0},
		"nothing":               {say(http.StatusOK, "application/json", `{}`), 0},
		"web page":              {say(http.StatusOK, "text/html", `<html>`), 0},
		"5xx":                   {say(http.StatusInternalServerError, "text/plain", "oops"), 0},
		"cut":                   {away, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t)
			s.ca.breaks(test.fault, testca.RenewalInfoPath)
			i := s.start()
			d := i.settle()
			began := s.now()
			d = i.until(d, 59*time.Minute, never)
			if n := s.ca.count(testca.FinalizePath); n != 1 {
				t.Errorf("%d certificates in the first hour, want 1", n)
			}
			d = i.until(d, 23*time.Hour-s.now().Sub(began), never)
			inADay := s.ca.count(testca.FinalizePath)
			i.until(d, 7*24*time.Hour-time.Hour-s.now().Sub(began), never)
			inAWeek := s.ca.count(testca.FinalizePath)
			// Renewals that the CA asks for do not count there, and have a budget of their own.
			if inADay > 2*budgetOfADay || inAWeek > 2*budgetOfAWeek || inAWeek < 1+test.least {
				t.Errorf("%d certificates in a day and %d in a week", inADay, inAWeek)
			}
			if test.least == 0 && name != "flapping" && name != "year 1" && name != "ends before it begins" && inAWeek != 1 {
				t.Errorf("%d certificates in a week, want the first only", inAWeek)
			}
			t.Logf("%d certificates in a day, %d in a week", inADay, inAWeek)
		})
	}
}

// TestAccountMissing: a certificate whose account is lost is renewed all the same,
// under a new account, without telling the CA what it replaces, which it would
// refuse.
func TestAccountMissing(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	i := s.start()
	i.settle()
	first := i.Status().Serial
	must(t, s.store().Delete(context.Background(), "acme"))
	s.pass(61 * 24 * time.Hour)
	d := i.again(0)
	i.until(d, time.Hour, func() bool { return i.Status().Serial != first })
	if i.Status().Serial == first {
		t.Fatalf("not renewed: %+v", i.Status().LastError)
	}
	if len(s.logged("the CA rejects the reference to the certificate that is replaced; ordering without it")) == 0 {
		t.Error("nothing tells that the account is another")
	}
	s.watcher.served()
}

// TestOrderStuck: an order that the CA never finishes is given up, counts as spent,
// and the schedule goes on.
func TestOrderStuck(t *testing.T) {
	t.Parallel()
	s := due(t)
	s.change = func(c *certs.Config) { c.OrderTimeout = 2 * time.Second }
	// No validation, which would have to be done within that time as well.
	s.ca.breaks(change(func(body []byte) []byte {
		return bytes.ReplaceAll(body, []byte(`"pending"`), []byte(`"valid"`))
	}), testca.AuthzPath)
	s.ca.breaks(say(http.StatusOK, "application/json", `{"status":"processing"}`), testca.FinalizePath, testca.OrderPath)
	i := s.start()
	d := i.settle()
	if i.reason() == "" || i.Status().Budget.Remaining != budgetOfADay-1 {
		t.Errorf("got %+v and %+v, want one order spent", i.Status().LastError, i.Status().Budget)
	}
	if finalized, asked := s.ca.count(testca.FinalizePath), s.ca.count(testca.OrderPath); finalized != 1 || asked < 2 {
		t.Errorf("%d orders finalized, and asked %d times how they are, want 1 and again and again", finalized, asked)
	}
	i.until(d, 23*time.Hour, never)
	if n := s.ca.count(testca.FinalizePath); n > budgetOfADay {
		t.Errorf("%d orders finalized in a day, want %d at most", n, budgetOfADay)
	}
	s.ca.mends()
	s.change = func(*certs.Config) {} // what is well may take longer on a busy machine
	i = i.restart()
	i.renewed(i.settle(), 3*24*time.Hour)
}
