package certs_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/storage"
	"wellkey/internal/testca"
	"wellkey/server/certs"
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

// marked is a storage that counts how often a mark was found in it.
type marked struct {
	certmagic.Storage
	found atomic.Int32
}

func (s *marked) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Storage.Load(ctx, key)
	if err == nil && key == "issuance/mark" {
		s.found.Add(1)
	}
	return value, err
}

// TestLossIsNoticed: a store that loses everything gets it back at once, and not at the
// next attempt, also while the CA is down. The CA is asked for nothing.
func TestLossIsNoticed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "noticed.test", testca.Config{})
	cfg := r.config(t)
	store := &marked{Storage: cfg.Storage}
	cfg.Shared, cfg.Poll, cfg.Storage = true, 10*time.Millisecond, store
	m := r.start(t, cfg)
	m.settle(t)
	await(t, "a look after the first one at the mark", func() bool { return store.found.Load() > 1 })
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

// unsure is a storage that can be made unable to tell whether there is a record of orders.
type unsure struct {
	certmagic.Storage
	broken atomic.Bool
}

func (s *unsure) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	if s.broken.Load() && strings.HasPrefix(key, "issuance/") && strings.HasSuffix(key, ".json") {
		return certmagic.KeyInfo{}, errDead
	}
	return s.Storage.Stat(ctx, key)
}

func (s *unsure) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// TestErrorIsNoLoss: a store that fails to tell whether it has something has not lost
// it, so nothing is stored over what another replica may have put there.
func TestErrorIsNoLoss(t *testing.T) {
	t.Parallel()
	r := newRig(t, "unsure.test", testca.Config{})
	cfg := r.config(t)
	core, seen := observer.New(zap.WarnLevel)
	store := &unsure{Storage: cfg.Storage}
	cfg.Shared, cfg.Poll, cfg.Storage, cfg.Logger = true, 10*time.Millisecond, store, zap.New(core)
	m := r.start(t, cfg)
	m.settle(t)
	store.broken.Store(true)
	m.ask(t, cfg, r.domain)
	if n := r.ca.Orders(); n != 2 {
		t.Errorf("got %d orders, want the first one and the one that was asked for", n)
	}
	if n := seen.FilterMessageSnippet("storage has lost").Len(); n != 0 {
		t.Errorf("a loss was noticed %d times", n)
	}
}

// overwritten is a storage in which another replica stores its mark right after ours.
type overwritten struct{ certmagic.Storage }

func (s overwritten) Store(ctx context.Context, key string, value []byte) error {
	if err := s.Storage.Store(ctx, key, value); err != nil {
		return err
	}
	return s.Storage.Store(ctx, key, append([]byte("not "), value...))
}

// TestTwoFindNoMark: of two replicas that mark the store at the same time, neither
// takes the mark of the other one for a loss, and both notice the next one once.
func TestTwoFindNoMark(t *testing.T) {
	t.Parallel()
	core, seen := observer.New(zap.WarnLevel)
	store := overwritten{&certmagic.FileStorage{Path: t.TempDir()}}
	cfg := certs.Config{Storage: store, TLSAddr: func() string { return "" }}
	cfg.Logger = zap.New(core)
	m, err := certs.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	mark := ""
	for lost := range 3 {
		for range 3 {
			mark = m.NoticeLoss(t.Context(), mark)
		}
		if now, err := store.Load(t.Context(), "issuance/mark"); err != nil || mark != string(now) {
			t.Errorf("got mark %q, want %q; %v", mark, now, err)
		}
		if n := seen.FilterMessageSnippet("storage has lost").Len(); n != lost {
			t.Errorf("after %d losses: %d were noticed", lost, n)
		}
		if err := store.Delete(t.Context(), "issuance/mark"); err != nil {
			t.Fatal(err)
		}
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
