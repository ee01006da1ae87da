package lease_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/internal/storage/lease"
)

// memory is a server whose leases lapse by the clock of the bubble.
type memory struct {
	mu    sync.Mutex
	owner string // of the last lease, "" = it was given back
	until time.Time
	fence int64
}

func (m *memory) Acquire(_ context.Context, _, owner string, ttl time.Duration) (int64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owner != "" && time.Now().Before(m.until) {
		return 0, false, nil
	}
	m.owner, m.until, m.fence = owner, time.Now().Add(ttl), m.fence+1
	return m.fence, true, nil
}

func (m *memory) Extend(_ context.Context, l lease.Lease, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owner != l.Owner {
		return false, nil
	}
	m.until = time.Now().Add(ttl)
	return true, nil
}

func (m *memory) Release(_ context.Context, l lease.Lease) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owner != l.Owner {
		return false, nil
	}
	m.owner = ""
	return true, nil
}

// TestTakeover: the lock of an owner that is no more is free after its TTL, and taken
// within the longest pause between two looks; that of one that lives never is.
func TestTakeover(t *testing.T) {
	for _, ttl := range []time.Duration{400 * time.Millisecond, 15 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &memory{}
				locks, other := lease.New(server, lease.Config{TTL: ttl}), lease.New(server, lease.Config{TTL: ttl})
				for range 20 { // pauses are random
					if _, ok, err := server.Acquire(t.Context(), "l", "dead", ttl); !ok || err != nil {
						t.Fatal(ok, err)
					}
					began := time.Now()
					lock(t, locks)
					if took, most := time.Since(began), ttl+min(250*time.Millisecond, ttl/4); took < ttl || took > most {
						t.Errorf("took over after %v, want %v to %v", took, ttl, most)
					}
					unlock(t, locks)
				}
				lock(t, locks)
				ctx, cancel := context.WithTimeout(t.Context(), 10*ttl)
				defer cancel()
				if err := other.Lock(ctx, "l"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("while another holds it for 10 leases: got %v", err)
				}
				unlock(t, locks)
			})
		})
	}
}

func lock(t *testing.T, locks *lease.Locks) {
	t.Helper()
	if err := locks.Lock(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
}

func unlock(t *testing.T, locks *lease.Locks) {
	t.Helper()
	if err := locks.Unlock(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
}
