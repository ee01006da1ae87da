// Package lease keeps locks that are leases on the clock of a server. A lock has
// an owner, a random token, and a fence, a number that grows with each taking of
// the lock. Its owner extends it every third of its duration; one that dies
// leaves it to lapse.
//
// An owner that stands still, as a machine that is suspended does, may lose a
// lock without knowing. So the context of guarded work (Guard) carries the lease:
// the server refuses what is written with it once the lease is not the current
// one, and the context ends as soon as the loss is seen here.
package lease

import (
	"context"
	"errors"
)

// Errors of locks, for errors.Is.
var (
	ErrNotHeld = errors.New("this lock is not held here")
	ErrLost    = errors.New("somebody else has taken over this lock")
)

// A Lease is one taking of a lock.
type Lease struct {
	Name  string // of the lock
	Owner string // random; no two takings share one
	Fence int64  // greater than that of every taking before
}

type contextKey struct{}

// newContext returns a context whose writes are made under l.
func newContext(ctx context.Context, l Lease) context.Context {
	return context.WithValue(ctx, contextKey{}, l)
}

// FromContext returns the lease under which the work of ctx is done, if there is
// one. Guards do not add up: the inner one counts.
func FromContext(ctx context.Context) (Lease, bool) {
	l, ok := ctx.Value(contextKey{}).(Lease)
	return l, ok
}
