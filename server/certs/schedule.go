package certs

import (
	"context"
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

	// localBackoff is the longest wait where the CA was not asked.
	localBackoff = 10 * time.Minute

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
	case ReasonConnection, ReasonPerspectives, ReasonDNS, ReasonCAA, ReasonTLS, ReasonUnauthorized, ReasonEAB, ReasonAccount, ReasonIdentifier,
		ReasonDNSProvider, ReasonDNSZone, ReasonDNSDelegate, ReasonDNSUnseen:
		return true
	}
	return false
}

// beforeTheCA reports whether a failure came before the CA was asked to look, so
// that it is no failed authorization there.
func (r Reason) beforeTheCA() bool {
	switch r {
	case ReasonDNSProvider, ReasonDNSZone, ReasonDNSDelegate, ReasonDNSLookup:
		return true
	}
	return false
}

// backedOff returns when to come back, if it is not time for an attempt; zero =
// it is. A CA that is down is looked at more often: it is no use to wait for a day
// if it is back in an hour. Why is set where it is not the schedule.
func (a *authority) backedOff(ctx context.Context) (next time.Time, why *holdError) {
	now := a.m.cfg.Now()
	if calm := a.started.Add(crashPause); a.rec.Unclean >= crashes {
		if now.Before(calm) {
			return calm, &holdError{ReasonCrashLoop, calm, "too many unclean stops", false}
		}
		a.rec.Unclean = 0
	}
	if !a.rec.Next.After(now) || a.rec.Next.After(now.Add(longestRetryAfter)) { // later than that is from another clock
		return time.Time{}, nil
	}
	if at := a.nextLook(now); at.After(now) {
		return at, nil
	}
	return a.lookAgain(ctx), nil
}

// hold records why nothing is ordered now and returns when to come back. It is
// logged when it begins.
func (a *authority) hold(ctx context.Context, h *holdError) time.Time {
	failure := a.explain(h)
	a.update(func(s *state) { s.last = &failure })
	if a.rec.Trouble.IsZero() && a.opened && h.reason.elsewhere() != ours {
		a.rec.Trouble = a.m.cfg.Now()
		a.keepRecord(ctx)
	}
	if a.waiting != h.reason {
		level := zap.WarnLevel
		if h.shared {
			level = zap.DebugLevel
		}
		a.log.Log(level, "no certificate is ordered for now", zap.String("reason", string(h.reason)), zap.String("cause", failure.Cause),
			zap.String("fix", failure.Fix), zap.String("error", failure.Text), zap.Time("until", h.until),
			zap.String("serving", a.m.serving()))
	}
	a.waiting = h.reason
	return h.until
}

// failed records err and returns when to look again.
func (a *authority) failed(ctx context.Context, err error) time.Time {
	failure := a.explain(err)
	now := a.m.cfg.Now()
	a.waiting = ""
	a.rec.fail(failure, now)
	a.rec.Down = errors.As(err, new(*absentError)) || a.seenDown(ctx, failure.Reason)
	a.looked, a.lookAt = now, now.Add(downAgain-jitter(downAgain))
	pause := a.rec.pause(a.role, now)
	a.rec.Next, a.rec.Earliest = now.Add(pause+jitter(pause)), time.Time{}
	retryAfter, _ := a.client.wire.read()
	for _, asked := range []time.Time{retryAfter, retryAfterText(err.Error())} {
		if asked.After(a.rec.Next) {
			a.rec.Next = asked.Add(jitter(10 * time.Minute))
		}
		if asked.After(a.rec.Earliest) && asked.After(now) {
			a.rec.Earliest = asked
		}
	}
	latest := now.Add(longestRetryAfter)
	a.rec.Next, a.rec.Earliest = earlier(a.rec.Next, latest), earlier(a.rec.Earliest, latest)
	a.keepRecord(ctx)
	a.m.all.metrics.failures.WithLabelValues(string(a.role), string(failure.Reason)).Inc()
	a.update(func(s *state) {
		if s.failures == nil {
			s.failures = map[Reason]int{}
		}
		s.failures[failure.Reason]++
		s.last = &failure
	})
	a.log.Warn("certificate attempt failed", zap.String("reason", string(failure.Reason)), zap.String("cause", failure.Cause),
		zap.String("fix", failure.Fix), zap.String("error", failure.Text), zap.Int("failures_in_a_row", a.rec.Failures),
		zap.Duration("retry_in", a.rec.Next.Sub(now).Round(time.Second)), zap.String("serving", a.m.serving()),
		zap.Int("issuance_budget_remaining", a.rec.Ledger.remaining(now, false)))
	next := a.nextLook(now)
	a.tellOthers(failure, next)
	return next
}

// fail enters a failure.
func (r *record) fail(failure Failure, now time.Time) {
	if failure.Reason.elsewhere() != ours && (r.Trouble.IsZero() || r.Trouble.After(now)) {
		r.Trouble = now
	}
	// Challenges are tried in turn, so the words for one fault may change with them.
	same := r.Last != nil && (r.Last.Reason == failure.Reason || r.Last.Reason.needsPerson() && failure.Reason.needsPerson())
	if !same || r.Since.IsZero() {
		r.Since = now
	}
	r.Failures++
	r.Last = &failure
}

// pause returns how long to wait for a CA in a role after the last failure, which
// is there.
func (r *record) pause(role Role, now time.Time) time.Duration {
	pause := backoff[min(r.Failures, len(backoff))-1]
	switch reason := r.Last.Reason; {
	case reason == ReasonStorage:
		return min(pause, localBackoff)
	case reason.needsPerson() && now.Sub(r.Since) >= patience:
		return slow
	case reason.beforeTheCA():
		return min(pause, localBackoff)
	case role == Fallback && reason.elsewhere() == asHere:
		return max(pause, day) // it was a long shot
	}
	return pause
}

// succeeded forgets the failures: there is a certificate, and it is not due.
func (m *subject) succeeded(ctx context.Context, s stored) {
	m.fellBack = false
	m.show(func(s *shown) { s.turn = time.Time{} })
	for _, a := range m.authorities {
		a.forgive(ctx, s)
	}
}

// forgive makes the record as if nothing had failed. Why the fallback was asked
// is remembered for as long as its certificate is served.
func (a *authority) forgive(ctx context.Context, s stored) {
	a.outage.leave(a.m)
	was := a.rec
	var last *Failure
	a.update(func(s *state) { last, s.last = s.last, nil })
	if a.role == Primary {
		if s.role() != Fallback {
			a.rec.Why = nil
		} else if last != nil {
			a.rec.Why = last
		}
		a.showWhy()
	}
	a.waiting = ""
	a.rec.Failures, a.rec.Last, a.rec.Down, a.rec.Tries = 0, nil, false, nil
	a.rec.Next, a.rec.Earliest, a.rec.Since, a.rec.Trouble = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if was.Failures != 0 || !was.Next.IsZero() || was.Last != nil || !was.Trouble.IsZero() || was.Why != a.rec.Why {
		a.keepRecord(ctx)
	}
}

// showWhy shows why the fallback gave what is served.
func (a *authority) showWhy() {
	why := a.rec.Why
	a.m.show(func(s *shown) { s.why = why })
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
