package certs_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"wellkey/internal/storage"
	"wellkey/internal/testca"
)

// TestLostSharedStorageIsRefilled: a store that comes back empty gets the
// certificate and the record of orders again; nothing is ordered.
func TestLostSharedStorageIsRefilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "refilled.test", testca.Config{})
	cfg := r.config(t)
	cfg.Shared = true
	m := r.start(t, cfg)
	m.settle(t)
	s := &scene{rig: r, t: t}
	for _, top := range []string{"certificates", "issuance", "acme"} {
		if err := os.RemoveAll(filepath.Join(r.dir, top)); err != nil {
			t.Fatal(err)
		}
	}
	m.again(t)
	r.leaf(t, m, r.now())
	if n := r.ca.Orders(); n != 1 {
		t.Errorf("got %d orders, want 1", n)
	}
	for _, path := range []string{s.cert(), s.key()} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("the certificate was not stored again: %v", err)
		}
	}
	if b := m.Status().Budget; b == nil || b.Remaining != 1 {
		t.Errorf("the budget is %+v, want that the order is remembered", b)
	}
}

// TestLossIsNoticed: a store that loses everything gets it back at once, and not at the
// next attempt, also while the CA is down. The CA is asked for nothing.
func TestLossIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "noticed.test", testca.Config{})
	cfg := r.config(t)
	cfg.Shared, cfg.Poll = true, 10*time.Millisecond
	m := r.start(t, cfg)
	m.settle(t)
	await(t, "the mark of the store", func() bool { return cfg.Storage.Exists(t.Context(), "issuance/mark") })
	before := r.leaf(t, m, r.now())
	var asked atomic.Int32
	r.ca.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		asked.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	s := &scene{rig: r, t: t}
	for n := range 2 {
		for _, top := range []string{"certificates", "acme", "issuance"} {
			if err := os.Rename(filepath.Join(r.dir, top), filepath.Join(t.TempDir(), fmt.Sprint(n))); err != nil && top != "acme" {
				t.Fatal(err)
			}
		}
		m.settle(t) // the step that nobody waited for
		for _, path := range []string{s.cert(), s.key()} {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the certificate was not stored again: %v", err)
			}
		}
		if after := r.leaf(t, m, r.now()); !after.Equal(before) {
			t.Error("another certificate is served")
		}
		if b := m.Status().Budget; b == nil || b.Remaining != 1 {
			t.Errorf("the budget is %+v, want that the order is remembered", b)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the CA was asked %d times", n)
	}
}

// copied is a storage with a copy that another one has.
type copied struct {
	certmagic.Storage
	copy certmagic.Storage
}

func (c copied) LoadCopy(ctx context.Context, key string) ([]byte, error) {
	return c.copy.Load(ctx, key)
}

// TestLossWhileNobodyRan: a replica that starts with an empty store, and has a copy of
// what was in it, stores that again, and orders only what the copy is too old for.
func TestLossWhileNobodyRan(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		later  time.Duration
		orders int
	}{"fresh": {time.Hour, 1}, "due": {70 * 24 * time.Hour, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, name+"-copy.test", testca.Config{})
			cfg := r.config(t)
			cfg.Shared = true
			m := r.start(t, cfg)
			m.settle(t)
			before := r.leaf(t, m, r.now())
			m.stop()

			copyDir := r.dir + "-copy"
			if err := os.Rename(r.dir, copyDir); err != nil {
				t.Fatal(err)
			}
			r.ahead.Add(int64(test.later))
			kept, err := storage.OpenDirectory(copyDir, nil)
			if err != nil {
				t.Fatal(err)
			}
			cfg = r.config(t)
			cfg.Shared, cfg.Storage = true, copied{cfg.Storage, kept}
			m = r.start(t, cfg)
			m.settle(t)
			if n := r.ca.Orders(); n != test.orders {
				t.Errorf("got %d orders, want %d", n, test.orders)
			}
			after := r.leaf(t, m, r.now())
			if same := after.Equal(before); same != (test.orders == 1) {
				t.Errorf("the same certificate is served: %v", same)
			}
			if _, err := os.Stat((&scene{rig: r, t: t}).cert()); err != nil {
				t.Errorf("the certificate was not stored again: %v", err)
			}
			if b := m.Status().Budget; b == nil || b.Remaining != 1 {
				t.Errorf("the budget is %+v, want that the order is remembered", b)
			}
		})
	}
}

// TestReplicaThatOnlyLooks: what seems damaged while another replica has the lock
// may be in the writing, so it is left alone until the lock is free.
func TestReplicaThatOnlyLooks(t *testing.T) {
	t.Parallel()
	r := newRig(t, "looks.test", testca.Config{})
	cfg := r.config(t)
	cfg.Shared = true
	m := r.start(t, cfg)
	m.settle(t)
	s := &scene{rig: r, t: t}
	whole, err := os.ReadFile(s.cert())
	if err != nil {
		t.Fatal(err)
	}
	other, lock := r.storage(t), "issue_cert_"+r.domain
	if err := other.Lock(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	s.cut(s.cert())
	m.goOn <- struct{}{} // It looks, and waits for the lock.
	r.leaf(t, m, r.now())
	if err := os.WriteFile(s.cert(), whole, 0o600); err != nil { // the other one ends its writing
		t.Fatal(err)
	}
	if err := other.Unlock(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	m.settle(t)
	if _, err := os.Stat(filepath.Join(r.dir, "quarantine")); !os.IsNotExist(err) {
		t.Errorf("something was moved to quarantine: %v", err)
	}
	if got, err := os.ReadFile(s.cert()); err != nil || string(got) != string(whole) {
		t.Errorf("the certificate was changed: %v", err)
	}
	if n := r.ca.Orders(); n != 1 {
		t.Errorf("got %d orders, want 1", n)
	}
}
