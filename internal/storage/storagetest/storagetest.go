// Package storagetest holds what every storage backend must do: the contract of
// certmagic.Storage, TryLocker and LockLeaseRenewer, with exclusion among
// goroutines and among processes.
//
// Run starts the test binary again for the processes that it needs, with
// -test.run set to the test that called it, which then comes to the same Run,
// which acts as a worker there.
package storagetest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
)

// A Storage is all that wellkey asks of a backend.
type Storage interface {
	certmagic.Storage
	certmagic.TryLocker
	certmagic.LockLeaseRenewer
	// Guard is Lock for work whose context ends when the lock is lost, and whose
	// writes are refused then.
	Guard(ctx context.Context, name string) (guarded context.Context, release func(context.Context) error, err error)
}

// A Backend is what Run tests.
type Backend struct {
	// New makes an empty store that goes when t ends, and returns its address.
	New func(t *testing.T) string
	// Open returns a client of the store at address, in any process. Closing
	// it, where that is needed, is for t.Cleanup.
	Open func(t *testing.T, address string) Storage
	// Seize gives the lock of that name to an owner that does not exist, as
	// after a lease that has run out.
	Seize func(t *testing.T, address, name string)
	// Lease is how long a lock outlives an owner that cannot be seen to be dead.
	Lease time.Duration
	// Takeover is how soon the lock of a killed process must be free. It is far more
	// than that takes: the machine may be busy, and nobody waits for it.
	Takeover time.Duration
	// Steady says that a process which stands still, but lives, keeps its locks.
	Steady bool
	// Lost is the error of RenewLockLease and Unlock for a lock that was lost.
	Lost error
}

// Run tests b. The test that calls it must do nothing else.
func Run(t *testing.T, b Backend) {
	if role := os.Getenv(roleVariable); role != "" {
		b.work(t, role)
		return
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, Backend)
	}{
		{"values", testValues},
		{"empty and large values", testSizes},
		{"not exist", testNotExist},
		{"directories", testDirectories},
		{"delete", testDelete},
		{"prefixes end at slashes", testPrefixes},
		{"stores and loads at once", testRace},
		{"cancelled contexts", testCancelled},
		{"locks", testLocks},
		{"try lock", testTryLock},
		{"waiting for a lock", testWaiting},
		{"exclusion of goroutines", testGoroutines},
		{"exclusion of processes", testProcesses},
		{"a held lock outlives its lease", testOutlives},
		{"takeover from a killed process", testKilled},
		{"late unlock", testLateUnlock},
		{"guarded work", testGuard},
		{"guarded work under a lost lock", testGuardLost},
		{"guarded work of a process that stood still", testPaused},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, b) })
	}
}

func (b Backend) fresh(t *testing.T) Storage { return b.Open(t, b.New(t)) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
