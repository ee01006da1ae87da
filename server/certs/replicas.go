package certs

import (
	"context"
	"fmt"

	"go.uber.org/zap"
)

// Several wellkeys may share one storage. Then whoever has the lock on orders
// works on what is stored, and all others only look: what seems damaged to them may
// just be in the writing. The record of orders is read anew under the lock, so that
// there is one budget and one schedule for all.

// A guarder is a storage whose locks guard the work under them: the context ends
// when the lock is lost, and what is written with it is refused then. It is a
// consumer contract for storage.Store.
type guarder interface {
	Guard(ctx context.Context, name string) (guarded context.Context, release func(context.Context) error, err error)
}

// lock waits for the lock on orders, which all replicas share, and returns the
// context for the work under it.
func (m *subject) lock(ctx context.Context) (guarded context.Context, unlock func(), err error) {
	name := issueLock(m.domain)
	release := func(ctx context.Context) error { return m.cfg.Storage.Unlock(ctx, name) }
	guarded = ctx
	if g, ok := m.cfg.Storage.(guarder); ok {
		guarded, release, err = g.Guard(ctx, name)
	} else {
		err = m.cfg.Storage.Lock(ctx, name)
	}
	if err != nil {
		return nil, nil, &localError{fmt.Errorf("unable to acquire lock: %w", err)}
	}
	m.locked = true
	return guarded, func() {
		m.locked = false
		if err := release(context.WithoutCancel(ctx)); err != nil {
			m.log.Debug("releasing the lock on orders", zap.Error(err))
		}
	}, nil
}

// onlyLooks reports whether nothing that is stored may be changed now.
func (m *subject) onlyLooks() bool { return m.cfg.Shared && !m.locked }

// tryLocked makes an attempt under the lock, unless another replica has made one
// meanwhile that failed.
func (a *authority) tryLocked(ctx context.Context, forced bool) (err error) {
	if a.m.cfg.Shared {
		if err := a.reread(ctx); err != nil {
			return &localError{fmt.Errorf("reading the record of orders: %w", err)}
		}
		if forced = forced && a.m.wordLeft(ctx); !forced && a.rec.Next.After(a.m.cfg.Now()) && !a.rec.Down {
			return &waitError{}
		}
		a.refill(ctx)
	}
	err = a.attempt(ctx, forced)
	if err != nil && ctx.Err() != nil {
		return &localError{context.Cause(ctx)} // the lock was lost, if we are not stopping
	}
	return err
}

// A waitError says that an attempt was made by another replica.
type waitError struct{}

func (*waitError) Error() string { return "another replica tried, and failed" }

// reread takes over what other replicas wrote into the record. A storage that lost
// the record gets ours.
func (a *authority) reread(ctx context.Context) error {
	rec, _, err := a.readRecord(ctx)
	if err != nil || rec.Settings == "" && !rec.Ledger.Damaged {
		return err
	}
	a.takeRecord(rec)
	return nil
}

// refill gives back what we have in memory to a storage that has lost it: that the
// record of orders is gone, which nobody deletes, tells.
func (a *authority) refill(ctx context.Context) {
	if !a.opened || a.held == nil || a.m.cfg.Storage.Exists(ctx, a.recordKey()) {
		return
	}
	a.log.Warn("storage has lost what was in it, so the certificate in use is stored again")
	held, err := a.held.resource()
	if err != nil {
		a.log.Error("the certificate in memory cannot be encoded", zap.Error(err)) // of a kind that we never make
		return
	}
	a.unsaved = &held
	a.save(ctx)
	a.keepRecord(ctx)
}

// saveLate stores what is only in memory, unless another replica has stored
// something newer. It reports whether nothing is left to store.
func (a *authority) saveLate(ctx context.Context) bool {
	if !a.m.onlyLooks() {
		return a.save(ctx)
	}
	guarded, unlock, err := a.m.lock(ctx)
	if err != nil {
		return false
	}
	defer unlock()
	if found, err := loadResource(guarded, a.m.cfg.Storage.Load, a.issuerKey, a.m.domain); err == nil {
		theirs, err := found.pair(a.m.domain)
		if ours, ourErr := a.unsaved.pair(a.m.domain); err == nil && ourErr == nil && theirs.Leaf.NotBefore.After(ours.Leaf.NotBefore) {
			a.unsaved = nil
			return true
		}
	}
	return a.save(guarded)
}
