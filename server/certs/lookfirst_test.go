package certs_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/certmagic"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// reads is a storage that remembers which domains were looked for until the first
// record of orders was.
type reads struct {
	certmagic.Storage
	mu      sync.Mutex
	domains map[string]bool // guarded by mu
	ended   chan struct{}   // closed with the first record
}

func (r *reads) Load(ctx context.Context, key string) ([]byte, error) {
	r.mu.Lock()
	select {
	case <-r.ended:
	default:
		if strings.HasPrefix(key, "issuance/") {
			close(r.ended)
		} else if parts := strings.Split(key, "/"); parts[0] == "certificates" && len(parts) > 2 {
			r.domains[parts[2]] = true
		}
	}
	r.mu.Unlock()
	return r.Storage.Load(ctx, key)
}

// TestManyAreLookedAtFirst: of many domains it is known of all what is stored, before
// the work for one of them begins, so that nobody waits for a CA to know it.
func TestManyAreLookedAtFirst(t *testing.T) {
	t.Parallel()
	const n, workers = 80, 16
	r := &reads{domains: map[string]bool{}, ended: make(chan struct{})}
	c := newCrowd(t, "first", n, func(cfg *certs.Config) {
		byHTTP(cfg)
		r.Storage = cfg.Storage
		cfg.Storage = r
	})
	if c.Looked() {
		t.Error("all is known before the start")
	}
	c.serve(t)
	await(t, "a look at all domains", c.Looked)
	<-r.ended
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.domains) <= n-workers { // the others of the workers may be about to look
		t.Errorf("only %d of %d domains were looked for before the first record was read", len(r.domains), n)
	}
}

// TestFirstLookKeepsLittle: where there are more certificates than fit into memory, the
// first look at all keeps none of them for the work that follows.
func TestFirstLookKeepsLittle(t *testing.T) {
	t.Parallel()
	const n, directory = 65, "https://127.0.0.1:1/" // of so many, all are looked at first
	for cached, want := range map[int]int{n: 1, n - 1: 0} {
		store := &certmagic.FileStorage{Path: t.TempDir()}
		m, err := certs.New(certs.Config{Storage: store, Directory: directory, TLSAddr: func() string { return "" }, Cached: cached})
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			m.Add(fmt.Sprintf("n%d.of%d.light.test", i, cached))
		}
		domain, issuer := fmt.Sprintf("n0.of%d.light.test", cached), (&certmagic.ACMEIssuer{CA: directory}).IssuerKey()
		leaf := issue(t, testca.LeafOptions{}, domain)
		if err := errors.Join(store.Store(t.Context(), keys.SiteCert(issuer, domain), leaf.CertPEM),
			store.Store(t.Context(), keys.SitePrivateKey(issuer, domain), leaf.KeyPEM)); err != nil {
			t.Fatal(err)
		}
		if got := m.FirstLook(t.Context(), domain); got != want || !m.Has(domain) {
			t.Errorf("with room for %d: %d certificates are kept, want %d; found %t", cached, got, want, m.Has(domain))
		}
	}
}
