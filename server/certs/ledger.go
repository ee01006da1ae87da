package certs

import (
	"slices"
	"time"
)

// budgetLimits are how many certificates we ask the CA for. Let's Encrypt gives
// 5 a week for the same name, and no way to get more; what we leave of them is
// for the operator.
func budgetLimits() []limit { return []limit{{2, day}, {3, 7 * day}} }

type limit struct {
	count  int
	window time.Duration
}

const (
	day = 24 * time.Hour

	// rememberReplaced is how long a replaced certificate is remembered: longer
	// than any lives.
	rememberReplaced = 400 * day
)

// An entry is one order. It is written before the order is made, and taken back
// only where the order surely gave no certificate.
type entry struct {
	At time.Time `json:"at"`

	// Replaces is the serial of the certificate that a renewal replaces in the
	// time that the CA asked for (RFC 9773). CAs do not count such a renewal, once
	// a certificate, so neither do we count it with the others.
	Replaces string `json:"replaces,omitempty"`
}

// A ledger is what was ordered. Its time is that of orders, so it is right: none
// is made while the clock is wrong.
type ledger struct {
	Entries []entry `json:"entries,omitempty"`

	// A damaged ledger may have said anything, so it counts as spent until a day
	// after the clock was known to be right.
	Damaged    bool      `json:"damaged,omitempty"`
	SpentUntil time.Time `json:"spent_until,omitzero"`
}

// remaining returns how many certificates may be asked for at a time; apart =
// as renewals that the CA does not count. Entries of the future count.
func (l ledger) remaining(at time.Time, apart bool) int {
	if l.Damaged || at.Before(l.SpentUntil) {
		return 0
	}
	left := budgetLimits()[0].count
	for _, limit := range budgetLimits() {
		used := 0
		for _, e := range l.Entries {
			if (e.Replaces != "") == apart && at.Sub(e.At) < limit.window {
				used++
			}
		}
		left = min(left, limit.count-used)
	}
	return max(left, 0)
}

// refill returns when more certificates may be asked for than now; zero = there
// is nothing to wait for, or it is not known.
func (l ledger) refill(now time.Time, apart bool) time.Time {
	moments := []time.Time{l.SpentUntil}
	for _, e := range l.Entries {
		for _, limit := range budgetLimits() {
			moments = append(moments, e.At.Add(limit.window))
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	left := l.remaining(now, apart)
	for _, at := range moments {
		if at.After(now) && l.remaining(at, apart) > left {
			return at
		}
	}
	return time.Time{}
}

// replaced reports whether a renewal of this certificate was already counted
// apart.
func (l ledger) replaced(serial string) bool {
	return slices.ContainsFunc(l.Entries, func(e entry) bool { return e.Replaces == serial })
}

// spend enters an order.
func (l *ledger) spend(e entry) { l.Entries = append(slices.Clone(l.Entries), e) }

// refund takes the entry back that was made last.
func (l *ledger) refund() { l.Entries = slices.Clone(l.Entries[:len(l.Entries)-1]) }

// mend brings the ledger to a time that is right: what a wrong clock or a
// damaged file left cannot last longer than a day or a week from now.
func (l *ledger) mend(now time.Time) {
	if l.Damaged {
		l.Damaged, l.SpentUntil = false, now.Add(day)
	}
	if l.SpentUntil.After(now.Add(day)) {
		l.SpentUntil = now.Add(day)
	}
	var kept []entry
	for _, e := range l.Entries {
		if e.At.After(now) {
			e.At = now
		}
		if age := now.Sub(e.At); age < 7*day || e.Replaces != "" && age < rememberReplaced {
			kept = append(kept, e)
		}
	}
	l.Entries = kept
}
