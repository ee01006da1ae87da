package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/contain"
	"wellkey/internal/storage/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fragile is a server that panics when a lease is to be extended.
type fragile struct{}

func (fragile) Acquire(context.Context, string, string, time.Duration) (int64, bool, error) {
	return 1, true, nil
}
func (fragile) Extend(context.Context, lease.Lease, time.Duration) (bool, error) { panic("Canary7f3a") }
func (fragile) Release(context.Context, lease.Lease) (bool, error)               { return true, nil }

// TestPanic: a client of the store that panics is one that fails. The lock lapses,
// and the work under it ends.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := make(chan struct{})
		locks := lease.New(fragile{}, lease.Config{OnLost: func() { close(lost) }, Panics: contain.New("test", nil)})
		ctx, release, err := locks.Guard(t.Context(), "l")
		if err != nil {
			t.Fatal(err)
		}
		<-lost
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), lease.ErrLost) {
			t.Errorf("the work ended since %v", context.Cause(ctx))
		}
		if err := release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
	})
}
