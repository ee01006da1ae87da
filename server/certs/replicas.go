package certs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/mholt/acmez/v3/acme"
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

// A copier is a shared storage with a copy on this disk of what serving needs, which
// stays where the storage loses it. It is a consumer contract for storage.Store.
type copier interface {
	LoadCopy(ctx context.Context, key string) ([]byte, error)
}

// giveBack gives what is known here back to a shared storage that has lost it, and
// reports whether it did. No CA is asked for that, and no schedule holds it up.
func (m *subject) giveBack(ctx context.Context) (did bool) {
	if !m.cfg.Shared || !slices.ContainsFunc(m.authorities, func(a *authority) bool { return a.lost(ctx) }) {
		return false
	}
	guarded, unlock, err := m.lock(ctx)
	if err != nil {
		m.log.Debug("giving the certificate back to the storage", zap.Error(err))
		return false
	}
	defer unlock()
	for _, a := range m.authorities {
		did = a.refill(guarded) || did
	}
	return did
}

// lost reports whether the storage has lost what was in it: that the record of orders
// is gone, which nobody deletes, tells. A storage that cannot say has lost nothing:
// what is known here would replace what another replica has renewed.
func (a *authority) lost(ctx context.Context) bool {
	if !a.opened {
		return false
	}
	_, err := a.m.cfg.Storage.Stat(ctx, a.recordKey())
	return errors.Is(err, fs.ErrNotExist)
}

// refill gives back what is known here, from memory or from the copy on this disk, if
// the storage has lost it.
func (a *authority) refill(ctx context.Context) (did bool) {
	if !a.lost(ctx) {
		return false
	}
	held, err := a.kept(ctx)
	if err != nil {
		a.log.Error("the certificate that is kept here cannot be stored again", zap.Error(err)) // of a kind that we never make
	}
	if err != nil || held == nil {
		return false
	}
	a.log.Warn("storage has lost what was in it, so the certificate in use is stored again")
	a.unsaved = held
	did = a.save(ctx)
	a.keepRecord(ctx)
	return did
}

// kept returns what is known here of the certificate; nil = nothing that is of use. A
// copy of one that is due for renewal is not: others may have a newer one.
func (a *authority) kept(ctx context.Context) (*resource, error) {
	if a.held != nil {
		held, err := a.held.resource()
		return &held, err
	}
	c, ok := a.m.cfg.Storage.(copier)
	if !ok {
		return nil, nil
	}
	copied, err := loadResource(ctx, c.LoadCopy, a.issuerKey, a.m.domain)
	if err != nil || copied.CertPEM == nil {
		return nil, nil // a copy that cannot be read is none
	}
	cert, err := a.m.judge(copied)
	if err != nil || !a.m.cfg.Now().Before(renewalTime(cert.Leaf, acme.RenewalInfo{})) {
		return nil, nil
	}
	if len(a.rec.Ledger.Entries) == 0 { // the order of this one was noted where it is lost
		a.rec.Ledger.spend(entry{At: cert.Leaf.NotBefore})
	}
	return &copied, nil
}

// mark is where a shared storage has a random text, so that it is noticed when that is
// gone, and all else with it.
const mark = "issuance/mark"

// noticeLoss returns the mark that a shared storage has now, after the one that was
// seen before; "" = none. Where it is another one, whoever noticed first has put it
// there, and all domains look what is to be given back. Where there is none, several
// may put one there at the same time: which of them stays, the next look tells.
func (m *Manager) noticeLoss(ctx context.Context, before string) string {
	text, err := m.cfg.Storage.Load(ctx, mark)
	if errors.Is(err, fs.ErrNotExist) {
		_ = m.cfg.Storage.Store(ctx, mark, []byte(rand.Text())) // or the next look does
	}
	if err != nil {
		return before // nobody knows what is in it
	}
	now := string(text)
	if now == before || before == "" {
		return now
	}
	m.log.Warn("storage has lost what was in it, so each domain gives back what is kept here")
	for s := range m.all {
		s.wake()
	}
	return now
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
