package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// backoff is how long to wait after the first, second, ... failed attempt in a
// row; the last one repeats, and we never give up. It is the shape that Let's
// Encrypt asks for in its integration guide: within its 5 failed authorizations
// an hour and far below its limits on orders.
var backoff = [...]time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, 24 * time.Hour}

const (
	// localBackoff is the longest wait where the CA was not asked.
	localBackoff = 10 * time.Minute

	// longestRetryAfter bounds what a CA may ask for: the widest window of Let's
	// Encrypt's limits, and a bit.
	longestRetryAfter = 8 * 24 * time.Hour

	// lookAgain is how often the CA is asked for its renewal window, and the
	// storage for a certificate that somebody else renewed.
	lookAgain = 6 * time.Hour

	// pauseAfterSuccess keeps certificates apart that are due as soon as they
	// are issued, by a wrong clock or a stale renewal window.
	pauseAfterSuccess = time.Hour

	// bindAgain is how often to look for a listener while none is bound.
	bindAgain = time.Second

	// attemptTimeout ends an attempt that hangs; certmagic has no total one.
	attemptTimeout = 15 * time.Minute

	// finalizeGrace is how long a shutdown waits for a certificate that is about
	// to be issued: it would count at the CA, and be lost.
	finalizeGrace = 25 * time.Second
)

// Run serves what is stored, before anything else, and then obtains and renews
// for as long as ctx lasts. It does not retry within an attempt, and holds no
// lock while it waits. It returns nil when ctx is done and nothing is left
// behind. It may be called once.
func (m *Manager) Run(ctx context.Context) error {
	c := m.connect()
	defer func() { c.close() }()
	m.acme.Store(c)
	defer m.acme.Store(nil)
	failures := 0
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
		if err != nil {
			failures++
			retryAfter, _ := c.wire.read()
			next = m.failed(err, failures, retryAfter)
		} else {
			failures = 0
		}
		m.update(func(s *state) { s.next = next })
		if m.cfg.Wait(ctx, max(next.Sub(m.cfg.Now()), 0)) != nil {
			return nil
		}
	}
}

// step makes at most one attempt and says when to look again.
func (m *Manager) step(ctx context.Context, c *client) (next time.Time, err error) {
	c.wire.reset()
	s, err := m.load(ctx, c)
	if err != nil {
		return time.Time{}, &localError{fmt.Errorf("reading the stored certificate: %w", err)}
	}
	m.adopt(s, "certificate loaded")
	if c.solves == (addresses{}) {
		return m.cfg.Now().Add(bindAgain), nil // the CA could not reach us, and nobody else does
	}
	if s.ours && s.cert != nil {
		m.refreshARI(ctx, c, &s)
		now, due := m.cfg.Now(), m.plan(s)
		if now.Before(due) {
			m.update(func(s *state) { s.last = nil })
			if again := now.Add(lookAgain); again.Before(due) {
				return again.Add(jitter(lookAgain)), nil
			}
			return due, nil
		}
	}
	if err := m.attempt(ctx, c, s); err != nil {
		return time.Time{}, err
	}
	s, err = m.load(ctx, c)
	if err == nil && (!s.ours || s.cert == nil) {
		err = errors.Join(errors.New("what was stored is not usable"), s.damage)
	}
	if err != nil {
		return time.Time{}, &localError{fmt.Errorf("reading the new certificate: %w", err)}
	}
	m.adopt(s, "certificate obtained")
	m.update(func(s *state) { s.last = nil })
	next = m.cfg.Now().Add(pauseAfterSuccess)
	if due := m.plan(s); due.After(next) && due.Before(next.Add(lookAgain)) {
		return due, nil
	}
	return next.Add(jitter(lookAgain)), nil
}

// attempt makes one order, or joins one that another replica makes: certmagic
// takes a lock for it, and gives it back.
func (m *Manager) attempt(ctx context.Context, c *client, s stored) error {
	m.update(func(s *state) { s.attempts++ })
	m.metrics.attempts.Inc()
	ctx, cancel := attemptContext(ctx, c.wire)
	defer cancel()
	if err := m.chooseProfile(ctx, c); err != nil {
		return fmt.Errorf("reading the CA's directory: %w", err)
	}
	switch {
	case !s.found:
		return c.cfg.ObtainCertSync(ctx, m.cfg.Domain)
	case s.cert == nil:
		m.log.Warn("stored certificate is not usable and will be replaced", zap.Error(s.damage))
		if _, err := m.loadRenewalInfo(ctx, c.iss.IssuerKey()); err != nil { // mends it, too
			return &localError{fmt.Errorf("reading the metadata of the certificate: %w", err)}
		}
		return c.cfg.RenewCertSync(ctx, m.cfg.Domain, true)
	default:
		return c.cfg.RenewCertSync(ctx, m.cfg.Domain, false)
	}
}

// attemptContext returns the context of one attempt. It ends with ctx, but
// while an order is being finalized only finalizeGrace later.
func attemptContext(ctx context.Context, w *wire) (context.Context, context.CancelFunc) {
	attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	stop := context.AfterFunc(ctx, func() {
		if _, finalizing := w.read(); finalizing {
			_ = wait(attempt, finalizeGrace) // over when the attempt is, too
		}
		cancel()
	})
	return attempt, func() { stop(); cancel() }
}

// adopt serves what is stored, if it is usable and not served yet.
func (m *Manager) adopt(s stored, message string) {
	if s.cert == nil || !m.serve(s.cert) {
		return
	}
	leaf := s.cert.Leaf
	m.log.Info(message, zap.String("issuer", issuerName(leaf)), zap.String("serial", serial(leaf)),
		zap.Time("not_after", leaf.NotAfter), zap.Time("renewal", renewalTime(leaf, s.ari)),
		zap.Bool("expired", m.cfg.Now().After(leaf.NotAfter)))
	m.cfg.OnChange()
}

// plan returns when s is to be renewed, and shows it in the status.
func (m *Manager) plan(s stored) time.Time {
	due := renewalTime(s.cert.Leaf, s.ari)
	m.update(func(s *state) { s.renewal = due })
	return due
}

// failed records err and returns when to try again.
func (m *Manager) failed(err error, inARow int, retryAfter time.Time) time.Time {
	failure := m.explain(err)
	pause := backoff[min(inARow, len(backoff))-1]
	if failure.Reason == ReasonStorage {
		pause = min(pause, localBackoff)
	}
	now := m.cfg.Now()
	next := now.Add(pause + jitter(pause))
	for _, asked := range []time.Time{retryAfter, retryAfterText(err.Error())} {
		if asked.After(next) {
			next = asked.Add(jitter(10 * time.Minute))
		}
	}
	if latest := now.Add(longestRetryAfter); next.After(latest) {
		next = latest
	}
	m.metrics.failures.WithLabelValues(string(failure.Reason)).Inc()
	m.update(func(s *state) { s.failures[failure.Reason]++; s.last = &failure })
	m.log.Warn("certificate attempt failed", zap.String("reason", string(failure.Reason)), zap.String("cause", failure.Cause),
		zap.String("fix", failure.Fix), zap.String("error", failure.Text), zap.Int("failures_in_a_row", inARow),
		zap.Duration("retry_in", next.Sub(now).Round(time.Second)), zap.String("serving", servingWords(m.current.Load(), now)))
	return next
}

// servingWords says what becomes of visitors meanwhile.
func servingWords(cert *tls.Certificate, now time.Time) string {
	switch {
	case cert == nil:
		return "no certificate"
	case now.After(cert.Leaf.NotAfter):
		return "an expired certificate"
	}
	return "the certificate at hand"
}

func (m *Manager) update(f func(*state)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.state)
}
