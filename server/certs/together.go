package certs

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// A CA that is down, or refuses our account whatever it asks for, does so for all
// domains. One of them finds it out, and goes on by its own schedule and looks,
// and all others wait for what it finds, rather than ask the CA the same again,
// each by itself.
type outage struct {
	mu      sync.Mutex // guards what follows
	finder  *subject   // nil = the CA is not known to be down
	reason  Reason
	text    string
	until   time.Time // when the finder looks again
	waiting map[*subject]struct{}
}

const (
	// finderGrace is for how long after its time the finder may be looking.
	finderGrace = attemptTimeout

	// afterFinder is when the others look what the finder found, if nobody told.
	afterFinder = 2 * time.Minute
)

// found tells the other domains that the CA is down, and until when.
func (o *outage) found(by *subject, failure Failure, until time.Time) {
	now := by.cfg.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finder == by || !o.live(now) {
		o.finder, o.reason, o.text, o.until = by, failure.Reason, failure.Text, until
	}
}

// live reports whether it is known to last. It is called with mu held.
func (o *outage) live(now time.Time) bool {
	return o.finder != nil && now.Before(o.until.Add(finderGrace))
}

// hold returns why a domain is not to ask the CA now; nil = it may. One that is
// held is woken at the end of the outage.
func (o *outage) hold(m *subject) *holdError {
	now := m.cfg.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finder == m || !o.live(now) {
		return nil
	}
	if o.waiting == nil {
		o.waiting = map[*subject]struct{}{}
	}
	o.waiting[m] = struct{}{}
	until := later(o.until, now).Add(afterFinder)
	return &holdError{o.reason, until.Add(jitter(10 * afterFinder)), fmt.Sprintf("%s found out for all domains: %s", o.finder.domain, o.text), true}
}

// over tells all that the CA works, as the finder, or somebody who was not held,
// has seen.
func (o *outage) over() {
	o.mu.Lock()
	waiting := o.waiting
	o.finder, o.waiting = nil, nil
	o.mu.Unlock()
	for m := range waiting {
		m.wake()
	}
}

// leave takes out a domain that has nothing to wait for any more.
func (o *outage) leave(m *subject) {
	o.mu.Lock()
	delete(o.waiting, m)
	found := o.finder == m
	o.mu.Unlock()
	if found {
		o.over() // another one finds out
	}
}

// tellOthers lets the other domains know what the last failure says of the CA.
func (a *authority) tellOthers(failure Failure, next time.Time) {
	switch {
	case a.rec.Down, failure.ofTheAccount():
		a.outage.found(a.m, failure, next)
	case failure.Reason.elsewhere() != ours && !failure.Reason.ofTheCA(): // it has thought about this domain
		a.outage.over()
	}
}

// ofTheAccount reports whether a limit is one of the account or of our address, by
// the words of Boulder's ratelimits package, rather than one of a domain.
func (f Failure) ofTheAccount() bool {
	return f.Reason == ReasonRateLimited && (strings.Contains(f.Text, "from this account") || strings.Contains(f.Text, "from this IP"))
}

// mayAsk returns why the CA is not to be asked for a new order now, though the
// domain's own budget has room for it; nil = it is entered, and may be made.
func (a *authority) mayAsk(ctx context.Context) error {
	if !a.counts {
		return nil
	}
	at, err := a.orders.spend(ctx, a.m.cfg, a.issuerKey, a.m.domain)
	if err != nil {
		return &localError{fmt.Errorf("reading what was ordered for all domains: %w", err)}
	}
	if !at.IsZero() {
		now := a.m.cfg.Now()
		if told := a.toldUsedUp.Load(); now.UnixNano()-told >= int64(accountWindow) && a.toldUsedUp.CompareAndSwap(told, now.UnixNano()) {
			a.log.Warn("the new orders for all domains together are used up; more certificates follow in turn", zap.Time("until", at),
				zap.String("fix", "Nothing: they come by themselves. wellkey renew --now --domain DOMAIN orders one that cannot wait."))
		}
		return &holdError{ReasonShared, at.Add(jitter(10 * time.Minute)), "the orders for all domains together are used up for now", true}
	}
	return nil
}
