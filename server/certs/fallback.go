package certs

import (
	"context"
	"time"

	"go.uber.org/zap"
)

const (
	// Where less than a tenth of its life is left of a certificate, the fallback is
	// asked after an hour: that long, a CA's hiccup may last.
	shortLife = 10
	shortWait = time.Hour

	// lookedLately is how long a look at the primary counts.
	lookedLately = time.Minute
)

// obtain asks our CAs in their order until one gives a certificate. It reports
// whether there is one now, and else when to come again.
func (m *subject) obtain(ctx context.Context, s stored, forced bool) (got bool, next time.Time) {
	primary := m.authorities[0]
	got, next = primary.try(ctx, forced)
	if got || ctx.Err() != nil || len(m.authorities) == 1 {
		return got, next
	}
	at, ok := m.fallbackAt(s)
	m.show(func(s *shown) { s.turn = at })
	now := m.cfg.Now()
	if !ok {
		return false, next
	}
	if at.After(now) {
		return false, earlier(next, at)
	}
	if primary.worthALook(now) && primary.lookAgain(ctx).IsZero() { // it is preferred to the last
		if got, next = primary.tryNow(ctx, false); got || ctx.Err() != nil {
			return got, next
		}
	}
	fallback := m.authorities[1]
	if !m.fellBack {
		m.fellBack = true
		m.log.Warn("the first authority has failed for so long that the fallback is asked", zap.Time("since", primary.rec.Trouble),
			zap.String("reason", string(primary.trouble())), zap.String("fallback", fallback.directory.Name),
			zap.String("serving", m.serving()))
	}
	got, again := fallback.try(ctx, false)
	if got {
		return true, time.Time{}
	}
	return false, earlier(next, again)
}

// fallbackAt returns when the fallback is to be asked, if the primary goes on
// failing as it does; false = it is not to be asked at all.
func (m *subject) fallbackAt(s stored) (time.Time, bool) {
	primary := m.authorities[0]
	reason, now := primary.trouble(), m.cfg.Now()
	if reason == "" || reason.elsewhere() == ours || primary.rec.Trouble.IsZero() {
		return time.Time{}, false
	}
	after := m.cfg.Fallback.After
	if s.cert != nil {
		leaf := s.cert.Leaf
		if now.Before(renewalTime(leaf, s.ari)) {
			return time.Time{}, false // somebody wants another one, but nobody needs it
		}
		if leaf.NotAfter.Sub(now) < leaf.NotAfter.Sub(leaf.NotBefore)/shortLife {
			after = min(after, shortWait)
		}
	}
	return primary.rec.Trouble.Add(after), true
}

// trouble returns why there is no certificate of a; "" = nothing is known.
func (a *authority) trouble() Reason {
	if a.waiting != "" {
		return a.waiting
	}
	if a.rec.Last != nil {
		return a.rec.Last.Reason
	}
	return ""
}

// worthALook reports whether a, which was not tried now, may be back.
func (a *authority) worthALook(now time.Time) bool {
	return a.rec.Down && a.rec.mayTryEarly(now) && !a.rec.Earliest.After(now) && now.Sub(a.looked) > lookedLately
}
