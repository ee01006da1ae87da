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

// Run serves what is stored, before anything else, and then obtains and renews
// for as long as ctx lasts. It does not retry within an attempt, and holds no
// lock while it waits. It returns nil when ctx is done and nothing is left
// behind. It may be called once.
func (m *Manager) Run(ctx context.Context) error {
	m.stopping = func() bool { return ctx.Err() != nil }
	c := m.connect()
	defer func() { c.close() }()
	m.acme.Store(c)
	defer m.acme.Store(nil)
	defer m.closeRecord(ctx)
	for {
		if m.addresses() != c.solves { // a listener was bound since
			c.close()
			c = m.connect()
			m.acme.Store(c)
		}
		next, err := m.step(ctx, c)
		if ctx.Err() != nil {
			return nil
		}
		if hold := (*holdError)(nil); errors.As(err, &hold) {
			next = m.hold(hold)
		} else if m.waiting = ""; err != nil {
			retryAfter, _ := c.wire.read()
			next = m.failed(ctx, err, retryAfter)
		}
		if m.unsaved != nil || m.stale {
			next = earlier(next, m.cfg.Now().Add(saveAgain))
		}
		m.update(func(s *state) { s.next = next })
		if m.pause(ctx, max(next.Sub(m.cfg.Now()), 0)) != nil {
			return nil
		}
	}
}

// step makes at most one attempt and says when to look again.
func (m *Manager) step(ctx context.Context, c *client) (next time.Time, err error) {
	c.wire.reset()
	if m.unsaved != nil && !m.save(ctx) {
		return m.cfg.Now().Add(saveAgain), nil // a full disk cannot take another one
	}
	s, err := m.load(ctx)
	if err != nil {
		return time.Time{}, &localError{fmt.Errorf("reading the stored certificate: %w", err)}
	}
	m.adopt(s, "certificate loaded")
	if err := m.open(ctx); err != nil {
		return time.Time{}, &localError{fmt.Errorf("reading the record of orders: %w", err)}
	}
	if m.stale {
		m.keepRecord(ctx)
	}
	if c.solves == (addresses{}) {
		return m.cfg.Now().Add(bindAgain), nil // the CA could not reach us, and nobody else does
	}
	forced := m.wordLeft(ctx)
	if s.ours && s.cert != nil {
		m.refreshARI(ctx, c, &s)
		now, due := m.cfg.Now(), m.plan(s)
		if now.Before(due) && !forced {
			m.succeeded(ctx)
			if again := now.Add(lookAgain); again.Before(due) {
				return again.Add(jitter(lookAgain)), nil
			}
			return due, nil
		}
	}
	if !forced {
		if next := m.backedOff(ctx, c); !next.IsZero() {
			return next, nil
		}
	}
	if err := m.attempt(ctx, c, forced); err != nil {
		return time.Time{}, err
	}
	next = m.cfg.Now().Add(pauseAfterSuccess)
	m.update(func(s *state) {
		if s.renewal.After(next) && s.renewal.Before(next.Add(lookAgain)) {
			next = s.renewal
			return
		}
		next = next.Add(jitter(lookAgain))
	})
	return next, nil
}

// adopt serves what is stored, if it is usable and not served yet.
func (m *Manager) adopt(s stored, message string) {
	if s.cert == nil || !m.serve(s.cert) {
		return
	}
	leaf := s.cert.Leaf
	fields := []zap.Field{zap.String("issuer", issuerName(leaf)), zap.String("serial", serial(leaf)),
		zap.Time("not_after", leaf.NotAfter), zap.Time("renewal", renewalTime(leaf, s.ari)),
		zap.Bool("expired", m.cfg.Now().After(leaf.NotAfter))}
	if m.opened {
		fields = append(fields, zap.Int("issuance_budget_remaining", m.rec.Ledger.remaining(m.cfg.Now(), false)))
	}
	m.log.Info(message, fields...)
	if !m.stopping() { // else nobody serves it any more
		m.cfg.OnChange()
	}
}

// plan returns when s is to be renewed, and shows it in the status.
func (m *Manager) plan(s stored) time.Time {
	due := renewalTime(s.cert.Leaf, s.ari)
	m.update(func(s *state) { s.renewal = due })
	return due
}

func (m *Manager) update(f func(*state)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.state)
}
