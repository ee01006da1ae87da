package certs_test

import (
	"context"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/storage"
	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// A fullStorage has no space for keys with a certain part while it is full.
type fullStorage struct {
	*storage.Directory
	part string
	full atomic.Bool
}

func (s *fullStorage) Store(ctx context.Context, key string, value []byte) error {
	if s.full.Load() && strings.Contains(key, s.part) {
		return &os.PathError{Op: "write", Path: key, Err: syscall.ENOSPC}
	}
	return s.Directory.Store(ctx, key, value)
}

func TestCertificateThatCannotBeStored(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"certificates/", ".crt", ".key", ".json"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "full-"+strings.Trim(part, "./")+".test", testca.Config{})
			cfg := r.config(t)
			store := &fullStorage{Directory: r.storage(t), part: part}
			cfg.Storage, cfg.Poll = store, time.Millisecond
			m := r.start(t, cfg)
			m.settle(t)
			old := r.leaf(t, m, r.now())
			s := &scene{rig: r, t: t}
			before, err := os.ReadFile(s.cert())
			s.must(err)
			// The disk fills when the order is finalized.
			r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
				if strings.HasPrefix(req.URL.Path, testca.FinalizePath) {
					store.full.Store(true)
				}
				return false
			})
			_, err = certs.AskForRenewal(t.Context(), store.Directory, r.domain)
			s.must(err)
			d := m.settle(t)
			leaf := r.leaf(t, m, r.now())
			if leaf.SerialNumber.Cmp(old.SerialNumber) == 0 {
				t.Fatal("got the old certificate, want the new one from memory")
			}
			if d > time.Minute || m.Status().LastError == nil || m.Status().LastError.Reason != certs.ReasonStorage {
				t.Errorf("got a wait of %v and %+v, want a minute and words about the storage", d, m.Status().LastError)
			}
			if now, err := os.ReadFile(s.cert()); part == "certificates/" && (err != nil || string(now) != string(before)) {
				t.Errorf("the old certificate was touched: %v", err)
			}
			m.again(t)
			store.full.Store(false)
			m.again(t)
			if n := r.ca.Orders(); n != 2 || m.Status().LastError != nil {
				t.Errorf("got %d orders and %+v, want 2 and no error", n, m.Status().LastError)
			}
			m.stop()
			r.relisten(t)
			m = r.start(t, r.config(t))
			m.settle(t)
			if got := r.leaf(t, m, r.now()); got.SerialNumber.Cmp(leaf.SerialNumber) != 0 || r.ca.Orders() != 2 {
				t.Errorf("after a restart: got serial %x and %d orders, want %x and 2", got.SerialNumber, r.ca.Orders(), leaf.SerialNumber)
			}
		})
	}
}

// TestStopWhileStoring: whichever parts were replaced when the power failed, the
// new certificate is there.
func TestStopWhileStoring(t *testing.T) {
	t.Parallel()
	for _, part := range []string{".crt", ".key", ".json"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "torn-"+part[1:]+".test", testca.Config{})
			cfg := r.config(t)
			store := &fullStorage{Directory: r.storage(t), part: "certificates/" + r.issuerKey() + "/" + r.domain + "/" + r.domain + part}
			cfg.Storage = store
			store.full.Store(true)
			m := r.start(t, cfg)
			m.settle(t)
			want := r.leaf(t, m, r.now()).SerialNumber
			m.stop()
			r.relisten(t)
			m = r.start(t, r.config(t))
			m.settle(t)
			if got := r.leaf(t, m, r.now()).SerialNumber; got.Cmp(want) != 0 || r.ca.Orders() != 1 {
				t.Errorf("got serial %x and %d orders, want %x and 1", got, r.ca.Orders(), want)
			}
		})
	}
}

func TestUnfitCertificateReplacesNothing(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(t *testing.T, domain string, good []byte) []byte{
		"another key": func(t *testing.T, domain string, _ []byte) []byte {
			return issue(t, testca.LeafOptions{}, domain).CertPEM
		},
		"another name": func(t *testing.T, _ string, _ []byte) []byte {
			return issue(t, testca.LeafOptions{}, "other.test").CertPEM
		},
		"no chain": func(_ *testing.T, _ string, good []byte) []byte {
			block, _ := pem.Decode(good)
			return pem.EncodeToMemory(block)
		},
		"another chain": func(t *testing.T, domain string, good []byte) []byte {
			block, _ := pem.Decode(good)
			_, chain := pem.Decode(issue(t, testca.LeafOptions{}, domain).CertPEM)
			return append(pem.EncodeToMemory(block), chain...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "unfit-"+strings.ReplaceAll(name, " ", "-")+".test", testca.Config{})
			cfg := r.config(t)
			cfg.Poll = time.Millisecond
			m := r.start(t, cfg)
			m.settle(t)
			old := r.leaf(t, m, r.now())
			r.ca.Answer(testca.CertificatePath, func(good []byte) []byte { return answer(t, r.domain, good) })
			if _, err := certs.AskForRenewal(t.Context(), cfg.Storage, r.domain); err != nil {
				t.Fatal(err)
			}
			m.settle(t)
			if got := r.leaf(t, m, r.now()); got.SerialNumber.Cmp(old.SerialNumber) != 0 {
				t.Error("the current certificate was replaced")
			}
			if reason := reasonOf(m); reason != certs.ReasonUnfit || m.Status().Budget.Remaining != 0 {
				t.Errorf("got reason %q and budget %+v", reason, m.Status().Budget)
			}
			found, err := filepath.Glob(filepath.Join(r.dir, "quarantine", "*", "rejected", r.domain+".crt"))
			if err != nil || len(found) != 1 {
				t.Errorf("in quarantine: got %q, %v, want the bad certificate", found, err)
			}
		})
	}
}
