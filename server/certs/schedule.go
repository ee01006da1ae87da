package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"go.uber.org/zap"
)

// backoff is how long to wait after the first, second, ... failed attempt in a
// row; the last one repeats, and we never give up. It is the shape that Let's
// Encrypt asks for in its integration guide: within its 5 failed authorizations
// an hour and far below its limits on orders.
var backoff = [...]time.Duration{time.Minute, 10 * time.Minute, 100 * time.Minute, 24 * time.Hour}

const (
	// patience is how long the same failure may go on before we come only once a
	// week: so long nobody has done what only a person can do. Most requests that
	// Let's Encrypt gets are of clients that never succeed.
	patience = 7 * day
	slow     = 7 * day

	// absentAgain is how often to look whether a CA is back that did not even
	// give its directory. That is no attempt: it orders nothing.
	absentAgain = 50 * time.Minute

	// localBackoff is the longest wait where the CA was not asked.
	localBackoff = 10 * time.Minute

	// clockAgain is how often to look whether the clock is right.
	clockAgain = 10 * time.Minute

	// longestRetryAfter bounds what a CA may ask for: the widest window of Let's
	// Encrypt's limits, and a bit.
	longestRetryAfter = 8 * day

	// After so many unclean stops in a row, the CA is left alone for a while.
	crashes    = 3
	crashPause = time.Minute
)

// needsPerson reports whether a failure usually goes on until somebody here does
// something.
func (r Reason) needsPerson() bool {
	switch r {
	case ReasonConnection, ReasonPerspectives, ReasonDNS, ReasonCAA, ReasonTLS, ReasonUnauthorized, ReasonEAB, ReasonAccount, ReasonIdentifier:
		return true
	}
	return false
}

// backedOff returns when to come back, if it is not time for an attempt; zero =
// it is. A CA that was not there at all is looked for more often: it is no use to
// wait for a day if it is back in an hour.
func (m *Manager) backedOff(ctx context.Context, c *client) time.Time {
	now := m.cfg.Now()
	if calm := m.started.Add(crashPause); m.rec.Unclean >= crashes {
		if now.Before(calm) {
			return m.hold(&holdError{ReasonCrashLoop, calm, "too many unclean stops"})
		}
		m.rec.Unclean = 0
	}
	latest := now.Add(longestRetryAfter)
	switch {
	case !m.rec.Next.After(now) || m.rec.Next.After(latest): // later than that is from another clock
		return time.Time{}
	case !m.rec.Absent:
		return m.rec.Next
	case m.rec.Earliest.After(now):
		return m.rec.Earliest
	case now.Before(m.looked.Add(absentAgain)):
		return earlier(m.rec.Next, m.looked.Add(absentAgain))
	}
	m.looked = now
	if err := m.ask(ctx, c); err != nil {
		m.log.Debug("the CA is still not there", zap.Error(err))
		return earlier(m.rec.Next, now.Add(absentAgain))
	}
	return time.Time{}
}

// hold records why nothing is ordered now and returns when to come back. It is
// logged when it begins.
func (m *Manager) hold(h *holdError) time.Time {
	failure := m.explain(h)
	m.update(func(s *state) { s.last = &failure })
	if m.waiting != h.reason {
		m.log.Warn("no certificate is ordered for now", zap.String("reason", string(h.reason)), zap.String("cause", failure.Cause),
			zap.String("fix", failure.Fix), zap.String("error", failure.Text), zap.Time("until", h.until),
			zap.String("serving", servingWords(m.current.Load(), m.cfg.Now())))
	}
	m.waiting = h.reason
	return h.until
}

// failed records err and returns when to look again.
func (m *Manager) failed(ctx context.Context, err error, retryAfter time.Time) time.Time {
	failure := m.explain(err)
	now := m.cfg.Now()
	m.rec.fail(failure, now)
	m.rec.Absent = errors.As(err, new(*absentError))
	m.looked = now
	pause := m.rec.pause(now)
	m.rec.Next, m.rec.Earliest = now.Add(pause+jitter(pause)), time.Time{}
	for _, asked := range []time.Time{retryAfter, retryAfterText(err.Error())} {
		if asked.After(m.rec.Next) {
			m.rec.Next = asked.Add(jitter(10 * time.Minute))
		}
		if asked.After(m.rec.Earliest) && asked.After(now) {
			m.rec.Earliest = asked
		}
	}
	latest := now.Add(longestRetryAfter)
	m.rec.Next, m.rec.Earliest = earlier(m.rec.Next, latest), earlier(m.rec.Earliest, latest)
	m.keepRecord(ctx)
	next := m.rec.Next
	if m.rec.Absent {
		next = earlier(next, later(now.Add(absentAgain), m.rec.Earliest))
	}
	m.metrics.failures.WithLabelValues(string(failure.Reason)).Inc()
	m.update(func(s *state) { s.failures[failure.Reason]++; s.last = &failure })
	m.log.Warn("certificate attempt failed", zap.String("reason", string(failure.Reason)), zap.String("cause", failure.Cause),
		zap.String("fix", failure.Fix), zap.String("error", failure.Text), zap.Int("failures_in_a_row", m.rec.Failures),
		zap.Duration("retry_in", m.rec.Next.Sub(now).Round(time.Second)), zap.String("serving", servingWords(m.current.Load(), now)),
		zap.Int("issuance_budget_remaining", m.rec.Ledger.remaining(now, false)))
	return next
}

// fail enters a failure.
func (r *record) fail(failure Failure, now time.Time) {
	if r.Last == nil || r.Last.Reason != failure.Reason || r.Since.IsZero() {
		r.Since = now
	}
	r.Failures++
	r.Last = &failure
}

// pause returns how long to wait after the last failure.
func (r *record) pause(now time.Time) time.Duration {
	pause := backoff[min(r.Failures, len(backoff))-1]
	switch {
	case r.Last.Reason == ReasonStorage:
		return min(pause, localBackoff)
	case r.Last.Reason.needsPerson() && now.Sub(r.Since) >= patience:
		return slow
	}
	return pause
}

// succeeded forgets the failures: there is a certificate, and it is not due.
func (m *Manager) succeeded(ctx context.Context) {
	m.update(func(s *state) { s.last = nil })
	if m.rec.Failures == 0 && m.rec.Next.IsZero() && m.rec.Last == nil {
		return
	}
	m.rec.Failures, m.rec.Last, m.rec.Absent = 0, nil, false
	m.rec.Next, m.rec.Earliest, m.rec.Since = time.Time{}, time.Time{}, time.Time{}
	m.keepRecord(ctx)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
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
