package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"wellkey/registrar"
)

// An Attempt is something that wellkey tries again by itself, since it failed.
type Attempt struct {
	At   time.Time
	What string
}

// Attempts returns what is tried again after failures, soonest first; what is due is
// at now.
func (s SiteView) Attempts(now time.Time) []Attempt {
	var all []Attempt
	add := func(at time.Time, what string) {
		if !at.IsZero() {
			all = append(all, Attempt{latest(at, now), what})
		}
	}
	for _, r := range s.Registrations {
		if r.fails() {
			add(r.Next, fmt.Sprintf("wellkey tries the registration again (%s).", strings.ToUpper(string(r.Region))))
		}
	}
	if s.Certificate.LastError != nil || !s.Certificate.Have {
		add(s.Certificate.NextAttempt, "wellkey asks the CA again for a certificate.")
	}
	if at := s.Certificate.FallbackAt; at.After(now) {
		add(at, "wellkey asks the fallback authority for a certificate.")
	}
	slices.SortStableFunc(all, func(a, b Attempt) int { return a.At.Compare(b.At) })
	return all
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// fails reports whether what is next for r is another try.
func (r Registration) fails() bool {
	return r.State == registrar.Refused || r.State == registrar.Unavailable
}
