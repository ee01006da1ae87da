package storagetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testLocks(t *testing.T, b Backend) {
	s := b.fresh(t)
	for _, name := range []string{"a", "b", "issue_cert_example.com", "a/../b c*ü"} {
		check(t, s.Lock(t.Context(), name)) // one excludes not the others
		check(t, s.RenewLockLease(t.Context(), name, time.Minute))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"a", "b", "issue_cert_example.com", "a/../b c*ü"} {
		check(t, s.Unlock(ended, name)) // Whoever cleans up has often been cancelled.
		check(t, s.Lock(ended, name))   // as certmagic's own test wants it
		check(t, s.Unlock(t.Context(), name))
		if s.Unlock(t.Context(), name) == nil {
			t.Errorf("unlocking %q twice: got no error", name)
		}
		if s.RenewLockLease(t.Context(), name, time.Minute) == nil {
			t.Errorf("renewing %q while it is free: got no error", name)
		}
	}
}

func testTryLock(t *testing.T, b Backend) {
	address := b.New(t)
	s, other := b.Open(t, address), b.Open(t, address)
	wantTry(t, s, "l", true)
	wantTry(t, s, "l", false)
	wantTry(t, other, "l", false)
	if err := other.Unlock(t.Context(), "l"); err == nil {
		t.Error("one client gave back the lock of another")
	}
	wantTry(t, other, "l", false)
	check(t, s.Unlock(t.Context(), "l"))
	wantTry(t, other, "l", true)
	check(t, other.Unlock(t.Context(), "l"))
}

func testWaiting(t *testing.T, b Backend) {
	address := b.New(t)
	s, other := b.Open(t, address), b.Open(t, address)
	check(t, s.Lock(t.Context(), "l"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "Lock of a lock that is held", other.Lock(ended, "l"), context.Canceled)
	got := make(chan error)
	go func() { got <- other.Lock(t.Context(), "l") }()
	check(t, s.Unlock(t.Context(), "l"))
	check(t, <-got)
	check(t, other.Unlock(t.Context(), "l"))
}

func testGoroutines(t *testing.T, b Backend) {
	address := b.New(t)
	shared := b.Open(t, address)
	check(t, shared.Store(t.Context(), "counter", []byte("0")))
	var group sync.WaitGroup
	var inside atomic.Int32 // how many believe that they have the lock
	for i := range 6 {
		s := shared
		if i%2 == 1 {
			s = b.Open(t, address)
		}
		group.Go(func() {
			for range 5 {
				check := func(err error) {
					if err != nil {
						t.Error(err)
					}
				}
				check(s.Lock(t.Context(), "counter"))
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d have the same lock", n)
				}
				check(count(t.Context(), s))
				inside.Add(-1)
				check(s.Unlock(t.Context(), "counter"))
			}
		})
	}
	group.Wait()
	wantValue(t, shared, "counter", "30")
}

// count adds one to a counter in s, which loses counts without exclusion.
func count(ctx context.Context, s Storage) error {
	value, err := s.Load(ctx, "counter")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return fmt.Errorf("counter: %w", err)
	}
	return s.Store(ctx, "counter", []byte(strconv.Itoa(n+1)))
}

func wantTry(t *testing.T, s Storage, name string, want bool) {
	t.Helper()
	if got, err := s.TryLock(t.Context(), name); err != nil || got != want {
		t.Errorf("TryLock %s: got %v, %v, want %v", name, got, err, want)
	}
}

func testLateUnlock(t *testing.T, b Backend) {
	address := b.New(t)
	former := b.Open(t, address)
	check(t, former.Lock(t.Context(), "l"))
	b.Seize(t, address, "l")
	wantError(t, "RenewLockLease of a lost lock", former.RenewLockLease(t.Context(), "l", time.Minute), b.Lost)
	wantError(t, "Unlock of a lost lock", former.Unlock(t.Context(), "l"), b.Lost)
	wantTry(t, b.Open(t, address), "l", false)
}
