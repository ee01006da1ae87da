package fleetapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"wellkey/internal/pattern"
)

const (
	// patience is the longest that we let an answer put us off: a mistaken date
	// must not stop a registration for years.
	patience = 24 * time.Hour
	// epoch tells seconds from now from seconds since 1970; Tesla does not say
	// which RateLimit-*-Reset holds.
	epoch = 500_000_000
)

var resetHeader = pattern.New(`(?i)^RateLimit(-.+)?-Reset$`)

// retryAfter returns the time before which the answer asks not to come again,
// zero if it does not ask: Retry-After of any answer, in seconds or as a date,
// else the latest RateLimit-*-Reset of a 429 (others have it as information). A
// date is compared with the answer's own Date, where it has one: our clock may be
// wrong.
func retryAfter(status int, h http.Header, now time.Time) time.Time {
	theirs := now
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		theirs = date
	}
	wait, ok := delay(h.Get("Retry-After"), theirs)
	if !ok && status == http.StatusTooManyRequests {
		for name, values := range h {
			if !resetHeader.MatchString(name) {
				continue
			}
			for _, v := range values {
				if d, good := delay(v, theirs); good {
					wait, ok = max(wait, d), true
				}
			}
		}
	}
	if !ok {
		return time.Time{}
	}
	return now.Add(min(max(wait, 0), patience))
}

func delay(value string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if date, err := http.ParseTime(value); err == nil {
		return date.Sub(now), true
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || !(seconds >= 0 && seconds < 1e11) {
		return 0, false
	}
	if seconds >= epoch {
		return time.Unix(int64(seconds), 0).Sub(now), true
	}
	return time.Duration(min(seconds, patience.Seconds()) * float64(time.Second)), true
}
