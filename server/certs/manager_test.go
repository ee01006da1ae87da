package certs_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// A crowd is a rig whose Manager has several domains and a clock of its own.
type crowd struct {
	*rig
	*certs.Manager
	domains []string
}

// newCrowd starts a CA and a Manager of n domains.
func newCrowd(t *testing.T, name string, n int, change func(*certs.Config)) *crowd {
	t.Helper()
	c := &crowd{rig: newRig(t, name+".test", testca.Config{})}
	cfg := c.config(t)
	cfg.Poll = 50 * time.Millisecond
	change(&cfg)
	var err error
	if c.Manager, err = certs.New(cfg); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		domain := fmt.Sprintf("n%d.%s", i, c.domain)
		c.names.Set(domain, "A 127.0.0.1")
		c.domains = append(c.domains, domain)
		c.Add(domain)
		c.Add(domain) // which is nothing new
	}
	return c
}

// serve runs the Manager and the listener for the CA until the test ends.
func (c *crowd) serve(t *testing.T) {
	t.Helper()
	server := &http.Server{Handler: c.HTTPHandler(http.NotFoundHandler())}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- server.Serve(c.http) }()
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		_ = server.Close()
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
				t.Errorf("running: %v", err)
			}
		}
	})
}

func byHTTP(cfg *certs.Config) { cfg.TLSAddr = nil }

// await waits until something holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: this does not come", what)
		}
	}
}

// shakeWith makes a handshake for a domain, whose certificate must be its own.
func (c *crowd) shakeWith(t *testing.T, domain string) error {
	t.Helper()
	chain, err := shake(t, c, domain)
	if err == nil {
		verify(t, chain, domain, c.ca.Roots(), c.now())
	}
	return err
}

// TestManyDomains: all get their certificates though some never can, and though
// fewer fit into memory; they come and go while the Manager runs.
func TestManyDomains(t *testing.T) {
	t.Parallel()
	const n, cached, broken = 48, 6, 5
	var changes atomic.Int32
	c := newCrowd(t, "many", n, func(cfg *certs.Config) {
		byHTTP(cfg)
		cfg.Cached = cached
		cfg.OnChange = func(string) { changes.Add(1) }
	})
	for _, domain := range c.domains[:broken] { // which come first
		c.names.Remove(domain)
	}
	c.serve(t)
	good := c.domains[broken:]
	await(t, "certificates for all that can have one", func() bool {
		have := 0
		for _, domain := range good {
			if c.Has(domain) && !c.Status(domain).NextAttempt.IsZero() {
				have++
			}
		}
		return have == len(good)
	})
	await(t, "failures of the others", func() bool { return c.Status(c.domains[0]).LastError != nil })
	if got := c.Status(c.domains[0]); got.Have || c.Has(c.domains[0]) || got.Failures[got.LastError.Reason] != 1 {
		t.Errorf("a domain that cannot be resolved has %+v", got)
	}
	if got := c.Status(good[0]); !got.Have || got.Attempts != 1 || got.Serial == "" || got.LastError != nil || got.NotAfter.IsZero() {
		t.Errorf("a good domain has %+v", got)
	}
	for range 2 {
		for _, domain := range good {
			if err := c.shakeWith(t, domain); err != nil {
				t.Errorf("%s: %v", domain, err)
			}
			if got := c.InMemory(); got > cached {
				t.Fatalf("%d certificates are in memory, want %d at most", got, cached)
			}
		}
	}
	if err := c.shakeWith(t, strings.ToUpper(good[0])); err != nil {
		t.Errorf("by a name in capitals: %v", err)
	}
	for _, name := range []string{"", c.domains[0], "other.test", c.domain} {
		if _, err := shake(t, c, name); err == nil {
			t.Errorf("there is a certificate for %q", name)
		}
	}
	if got := int(changes.Load()); got != len(good) {
		t.Errorf("%d changes were told, want %d", got, len(good))
	}

	orders, domain := c.ca.Orders(), good[3]
	serial := c.Status(domain).Serial
	c.Remove(domain)
	c.Remove(domain)
	if _, err := shake(t, c, domain); err == nil || c.Has(domain) || c.Status(domain).Have {
		t.Error("a domain is served that was removed")
	}
	c.Add(domain)
	await(t, "the certificate that was stored", func() bool { return c.Has(domain) })
	if got := c.Status(domain).Serial; got != serial || c.ca.Orders() != orders {
		t.Errorf("got certificate %s and %d orders, want %s and %d: what is stored stays", got, c.ca.Orders(), serial, orders)
	}
}

// TestRenewalOfOneOfMany: word for one domain is taken up for that one only.
func TestRenewalOfOneOfMany(t *testing.T) {
	t.Parallel()
	var cfg certs.Config
	c := newCrowd(t, "word", 3, func(c *certs.Config) { byHTTP(c); cfg = *c })
	c.serve(t)
	await(t, "certificates", func() bool { return c.Has(c.domains[0]) && c.Has(c.domains[1]) && c.Has(c.domains[2]) })
	first, second := c.Status(c.domains[0]).Serial, c.Status(c.domains[1]).Serial
	taken, err := certs.AskForRenewal(t.Context(), cfg.Storage, c.domains[1])
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the renewal", func() bool { return c.Status(c.domains[1]).Serial != second })
	if !taken(t.Context()) || c.Status(c.domains[0]).Serial != first {
		t.Error("the word is still there, or was taken for another domain, too")
	}
}

// A dyingStorage can be switched off.
type dyingStorage struct {
	certmagic.Storage
	dead atomic.Bool
}

var errDead = errors.New("the storage is dead")

func (s *dyingStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if s.dead.Load() {
		return nil, errDead
	}
	return s.Storage.Load(ctx, key)
}

// TestStorageIsDown: what is in memory goes on being served, and what is not comes
// back with the storage.
func TestStorageIsDown(t *testing.T) {
	t.Parallel()
	store := &dyingStorage{}
	c := newCrowd(t, "down", 3, func(cfg *certs.Config) {
		byHTTP(cfg)
		cfg.Cached = 2
		store.Storage, cfg.Storage = cfg.Storage, store
	})
	c.serve(t)
	await(t, "rest", func() bool {
		for _, domain := range c.domains {
			if !c.Has(domain) || c.Status(domain).NextAttempt.Before(time.Now().Add(10*time.Minute)) {
				return false
			}
		}
		return true
	})
	store.dead.Store(true)
	served := 0
	var missing string
	for _, domain := range c.domains {
		if err := c.shakeWith(t, domain); err == nil {
			served++
		} else {
			missing = domain
			if !c.Has(domain) || !c.Status(domain).Have {
				t.Errorf("%s: it is forgotten that there is a certificate", domain)
			}
		}
	}
	if served != 2 {
		t.Fatalf("%d domains are served from memory, want 2", served)
	}
	store.dead.Store(false)
	await(t, "the certificate that was not in memory", func() bool { return c.shakeWith(t, missing) == nil })
}

// TestOutageIsFoundOnce: one domain finds out that the CA is down, and the others
// leave it alone; once it is back, all get their certificates.
func TestOutageIsFoundOnce(t *testing.T) {
	t.Parallel()
	const n, atATime = 40, 16
	c := newCrowd(t, "found", n, byHTTP)
	var asked atomic.Int32
	c.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, testca.DirectoryPath) {
			asked.Add(1)
		}
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	c.serve(t)
	await(t, "that all know", func() bool {
		for _, domain := range c.domains {
			if s := c.Status(domain); s.LastError == nil || s.NextAttempt.IsZero() {
				return false
			}
		}
		return true
	})
	attempts, held := 0, 0
	for _, domain := range c.domains {
		s := c.Status(domain)
		attempts += s.Attempts
		if strings.Contains(s.LastError.Text, "found out for all domains") {
			held++
			if s.LastError.Reason != certs.ReasonServer || s.NextAttempt.Before(time.Now().Add(time.Hour)) {
				t.Errorf("%s: got %+v, next at %v", domain, s.LastError, s.NextAttempt)
			}
		}
	}
	// Those that had begun when the first one failed find out for themselves.
	if attempts > atATime || held < n-atATime || attempts+held != n || asked.Load() > 2*atATime {
		t.Errorf("%d attempts, %d held, %d requests", attempts, held, asked.Load())
	}
}

// TestLimitsForAll: new orders for all domains together are bounded at a CA whose
// limits last, and an Add comes in turn.
func TestLimitsForAll(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]certs.Limits{
		"account":    {Account: 3},
		"registered": {Registered: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t, "limits-"+name, 6, func(cfg *certs.Config) { byHTTP(cfg); cfg.Limits, cfg.AllowEphemeral = limits, true })
			c.CACounts()
			c.serve(t)
			have := 0
			await(t, "that all were tried", func() bool {
				have = 0
				held := 0
				for _, domain := range c.domains {
					s := c.Status(domain)
					if s.Have {
						have++
					} else if s.LastError != nil && s.LastError.Reason == certs.ReasonShared {
						held++
					}
				}
				return have+held == len(c.domains)
			})
			if have != 3 || c.ca.Orders() != 3 {
				t.Errorf("%d certificates and %d orders, want 3", have, c.ca.Orders())
			}
		})
	}
}

// benchmarked returns a Manager of n domains with the same certificate.
func benchmarked(b *testing.B, n int) *certs.Manager {
	signer, err := testca.NewSigner()
	if err != nil {
		b.Fatal(err)
	}
	leaf, err := signer.Issue(testca.LeafOptions{}, "n0.example.test")
	if err != nil {
		b.Fatal(err)
	}
	m, err := certs.New(certs.Config{Storage: &certmagic.FileStorage{Path: b.TempDir()}, TLSAddr: func() string { return "" }, Cached: n})
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		domain := fmt.Sprintf("n%d.example.test", i)
		m.Add(domain)
		m.Known(domain, &leaf.Certificate)
	}
	return m
}

// BenchmarkChoice is how long it takes to find the certificate for a handshake.
func BenchmarkChoice(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			get := benchmarked(b, n).TLSConfig().GetCertificate
			var hellos []*tls.ClientHelloInfo
			for i := range min(n, 1000) {
				hellos = append(hellos, &tls.ClientHelloInfo{ServerName: fmt.Sprintf("n%d.example.test", i*(n/min(n, 1000)))})
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if _, err := get(hellos[i%len(hellos)]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkAdd is what a domain costs that has nothing to do yet.
func BenchmarkAdd(b *testing.B) {
	m := benchmarked(b, 0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Add(fmt.Sprintf("n%d.example.test", i))
	}
}
