package certs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

const (
	// lookAgain is how often the CA is asked for its renewal window, and the
	// storage for a certificate that somebody else renewed.
	lookAgain = 6 * time.Hour

	// pauseAfterSuccess keeps certificates apart that are due as soon as they
	// are issued, by a wrong clock or a stale renewal window.
	pauseAfterSuccess = time.Hour

	// bindAgain is how often to look for a listener while none is bound.
	bindAgain = time.Second
)

// run makes one step, with a client for each CA while it lasts, and returns when
// to make the next: it is a job of the Manager's queue. No lock is held between
// the steps.
func (m *subject) run(ctx context.Context) time.Time {
	if !m.waitForFormer(ctx) {
		return time.Time{}
	}
	m.stopping = func() bool { return ctx.Err() != nil }
	if m.all.count.Load() > fewDomains && !m.looked.Load() && m.lookFirst(ctx) {
		m.letGo()
		return time.Now() // behind the others
	}
	m.pinned.Store(true)
	solves := m.connect()
	next, err := m.step(ctx, solves)
	if err != nil && ctx.Err() == nil { // the storage: no CA was asked
		next = m.authorities[0].failed(ctx, &localError{err})
	}
	m.disconnect()
	m.letGo()
	if ctx.Err() != nil {
		return time.Time{}
	}
	for _, a := range m.authorities {
		if a.unsaved != nil || a.stale {
			next = earlier(next, m.cfg.Now().Add(saveAgain))
		}
	}
	m.show(func(s *shown) { s.next = next })
	return m.rest(ctx, max(next.Sub(m.cfg.Now()), 0))
}

// letGo lets the certificate leave the memory, now that nobody works on it, unless it
// is nowhere else.
func (m *subject) letGo() {
	m.pinned.Store(m.hasUnsaved())
	if m.all.crowded() {
		for _, a := range m.authorities {
			a.held = nil // read again by the next step
		}
	}
}

// lookFirst takes up what is stored, and reports whether that could be read. Of many
// domains that is done for all before any CA is asked about one: what the work for
// the rest waits for is known soon.
func (m *subject) lookFirst(ctx context.Context) bool {
	s, err := m.load(ctx)
	if err != nil {
		return false // the step tells
	}
	m.adopt(s, "certificate loaded")
	m.looked.Store(true)
	return true
}

// step makes at most one attempt at each CA and says when to look again.
func (m *subject) step(ctx context.Context, solves addresses) (next time.Time, err error) {
	for _, a := range m.authorities {
		if a.unsaved != nil && !a.saveLate(ctx) {
			return m.cfg.Now().Add(saveAgain), nil // a full disk cannot take another one
		}
	}
	s, err := m.load(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the stored certificate: %w", err)
	}
	m.adopt(s, "certificate loaded")
	m.looked.Store(true)
	for _, a := range m.authorities {
		if err := a.open(ctx); err != nil {
			return time.Time{}, fmt.Errorf("reading the record of orders: %w", err)
		}
	}
	if s.of == nil && m.giveBack(ctx) {
		if s, err = m.load(ctx); err != nil {
			return time.Time{}, fmt.Errorf("reading the stored certificate: %w", err)
		}
		m.adopt(s, "certificate loaded")
	}
	if solves == (addresses{}) && m.cfg.DNS == nil {
		return m.cfg.Now().Add(bindAgain), nil // no CA could reach us, and nobody else does
	}
	forced := m.wordLeft(ctx)
	if s.of != nil {
		s.of.refreshARI(ctx, &s)
		now, due := m.cfg.Now(), m.plan(s)
		if now.Before(due) && !forced {
			m.succeeded(ctx, s)
			if again := now.Add(lookAgain); again.Before(due) {
				return again.Add(jitter(lookAgain)), nil
			}
			return due, nil
		}
	}
	if got, next := m.obtain(ctx, s, forced); !got {
		return next, nil
	}
	next = m.cfg.Now().Add(pauseAfterSuccess)
	m.show(func(s *shown) {
		if s.renewal.After(next) && s.renewal.Before(next.Add(lookAgain)) {
			next = s.renewal
			return
		}
		next = next.Add(jitter(lookAgain))
	})
	return next, nil
}

// try makes an attempt at a, if it is time for one. It reports whether there is a
// certificate now that is not due, and else when to come again.
func (a *authority) try(ctx context.Context, forced bool) (got bool, next time.Time) {
	a.client.wire.reset()
	if !forced {
		if next, why := a.backedOff(ctx); why != nil {
			return false, a.hold(ctx, why)
		} else if !next.IsZero() {
			return false, next
		}
		if why := a.outage.hold(a.m); why != nil {
			return false, a.hold(ctx, why)
		}
	}
	return a.tryNow(ctx, forced)
}

// tryNow is try, whatever the schedule says.
func (a *authority) tryNow(ctx context.Context, forced bool) (got bool, next time.Time) {
	guarded, unlock, err := a.m.lock(ctx)
	if err == nil {
		defer unlock()
		err = a.tryLocked(guarded, forced)
	} else {
		guarded = ctx
	}
	hold := (*holdError)(nil)
	switch {
	case err == nil:
		return true, time.Time{}
	case ctx.Err() != nil:
		return false, a.m.cfg.Now() // we are stopping, which is nobody's failure
	case errors.As(err, new(*waitError)):
		return false, a.rec.Next
	case errors.As(err, &hold):
		return false, a.hold(guarded, hold)
	}
	return false, a.failed(guarded, err)
}

// adopt serves what is stored, if it is usable and not served yet.
func (m *subject) adopt(s stored, message string) {
	if s.cert == nil {
		return
	}
	m.show(func(shown *shown) { shown.role = s.role() })
	if !m.serve(s) {
		return
	}
	leaf := s.cert.Leaf
	fields := []zap.Field{zap.String("issuer", issuerName(leaf)), zap.String("serial", serial(leaf)),
		zap.Time("not_after", leaf.NotAfter), zap.Time("renewal", renewalTime(leaf, s.ari)),
		zap.Bool("expired", m.cfg.Now().After(leaf.NotAfter))}
	log := m.log
	if a := s.of; a != nil {
		log = a.log
		if a.opened {
			fields = append(fields, zap.Int("issuance_budget_remaining", a.rec.Ledger.remaining(m.cfg.Now(), false)))
		}
	}
	log.Info(message, fields...)
	if !m.stopping() { // else nobody serves it any more
		m.cfg.OnChange(m.domain)
	}
}

// plan returns when s is to be renewed, and shows it in the status.
func (m *subject) plan(s stored) time.Time {
	due := renewalTime(s.cert.Leaf, s.ari)
	m.show(func(shown *shown) { shown.renewal = due })
	return due
}

func (m *subject) show(f func(*shown)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.shown)
}
