//go:build unix

package storage_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"wellkey/internal/contain"
	"wellkey/internal/storage"
)

// pipe puts a file at key that hangs whoever opens it, until release.
func pipe(t *testing.T, dir, key string) (release func()) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(key))
	must(t, syscall.Mkfifo(path, 0o600))
	return sync.OnceFunc(func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0) // Both ends: nobody waits any longer.
		must(t, err)
		must(t, os.Remove(path))
		must(t, f.Close())
	})
}

func TestHangingDisk(t *testing.T) {
	dir := t.TempDir()
	registry := prometheus.NewRegistry()
	d := open(t, storage.Config{Path: dir, Timeout: 50 * time.Millisecond, Registerer: registry})
	release := pipe(t, dir, "k")
	defer release()

	_, err := d.Load(t.Context(), "k")
	for _, want := range []string{dir, "does not answer", `loading "k"`, "50ms", "see whether the host can list it"} {
		if !errors.Is(err, storage.ErrTimeout) || !strings.Contains(err.Error(), want) {
			t.Errorf("Load: got %v, want ErrTimeout with %q", err, want)
		}
	}
	if err := d.Store(t.Context(), "k", []byte("v")); !errors.Is(err, storage.ErrTimeout) {
		t.Errorf("Store: got %v, want ErrTimeout", err)
	}
	wantWritable(t, registry, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := d.Load(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, storage.ErrTimeout) {
		t.Errorf("with an own deadline: got %v, want context.DeadlineExceeded", err)
	}
	// One hanging file hangs no other.
	must(t, eventually(t, func() error { return d.Store(t.Context(), "other", []byte("v")) }))
}

// What hangs holds a bounded number of goroutines, and lets go of them.
func TestHangingDiskIsBounded(t *testing.T) {
	dir := t.TempDir()
	d := open(t, storage.Config{Path: dir, Timeout: 100 * time.Millisecond})
	release := pipe(t, dir, "k")
	defer release()
	before := runtime.NumGoroutine()
	var group sync.WaitGroup
	for range 200 {
		group.Go(func() {
			if _, err := d.Load(t.Context(), "k"); !errors.Is(err, storage.ErrTimeout) {
				t.Errorf("got %v, want ErrTimeout", err)
			}
		})
	}
	group.Wait()
	// Some of the callers may not have quite ended yet.
	if more := runtime.NumGoroutine() - before; more > 2*storage.MaxCalls {
		t.Errorf("got %d goroutines more, want about %d", more, storage.MaxCalls)
	}
	release()
	must(t, eventually(t, func() error { return d.Store(t.Context(), "k", []byte("v")) }))
}

// eventually calls f until it succeeds, for two minutes, since a machine may be busy;
// each call has its own deadline.
func eventually(t *testing.T, f func() error) (err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if err = f(); err == nil {
			return nil
		}
	}
	return err
}

// A write that its caller has given up never replaces a newer one.
func TestLateWritesDoNotWin(t *testing.T) {
	dir := t.TempDir()
	d := open(t, storage.Config{Path: dir, Timeout: 50 * time.Millisecond})
	release := pipe(t, dir, "k")
	defer release()
	for _, value := range []string{"first", "second"} { // The second waits for the first.
		value := []byte(value)
		if err := d.Store(t.Context(), "k", value); !errors.Is(err, storage.ErrTimeout) {
			t.Fatalf("%s: got %v, want ErrTimeout", value, err)
		}
		clear(value) // The caller's again, though the write may go on.
	}
	release()
	must(t, eventually(t, func() error { return d.Store(t.Context(), "k", []byte("newest")) }))
	for range 50 {
		must(t, eventually(t, func() error { return d.Store(t.Context(), "other", []byte(time.Now().String())) }))
		if got, err := os.ReadFile(filepath.Join(dir, "k")); err != nil || string(got) != "newest" {
			t.Fatalf("got %q, %v, want the newest value", got, err)
		}
	}
}

// A lock that comes after its caller has left is given back.
func TestLateLocksAreGivenBack(t *testing.T) {
	dir := t.TempDir()
	d, other := open(t, storage.Config{Path: dir, Timeout: 50 * time.Millisecond}), open(t, storage.Config{Path: dir})
	release, done := make(chan struct{}), make(chan struct{})
	d.HangLocks(release, done)
	if err := d.Lock(t.Context(), "l"); !errors.Is(err, storage.ErrTimeout) {
		t.Fatalf("got %v, want ErrTimeout", err)
	}
	close(release)
	<-done
	must(t, eventually(t, func() error {
		_, err := os.Stat(filepath.Join(dir, lockKey))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, errors.New("the lock is still there"))
	}))
	must(t, other.Lock(t.Context(), "l"))
	must(t, other.Unlock(t.Context(), "l"))
}

// TestPanic: what panics in the goroutine of a call is an error of that call, and
// ends nothing else.
func TestPanic(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	d := open(t, storage.Config{Path: t.TempDir(), Registerer: registry})
	d.PanicInLocks()
	if err := d.Lock(t.Context(), "l"); !errors.Is(err, contain.ErrPanicked) || strings.Contains(err.Error(), "Canary") {
		t.Errorf("got %v, want that it panicked", err)
	}
	must(t, d.Store(t.Context(), "k", []byte("v")))
	if err := testutil.GatherAndCompare(registry, strings.NewReader("# HELP wellkey_panics_total Panics that were contained, by the part of wellkey: each is a bug in it.\n"+
		"# TYPE wellkey_panics_total counter\nwellkey_panics_total{part=\"storage\"} 1\n"), "wellkey_panics_total"); err != nil {
		t.Error(err)
	}
}
