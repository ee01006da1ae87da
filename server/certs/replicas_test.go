package certs_test

import (
	"os"
	"path/filepath"
	"testing"

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
