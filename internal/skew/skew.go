// Package skew tells by how much our clock is ahead of somebody else's: of
// whoever answers our requests with a Date header (RFC 9110, section 6.6.1).
package skew

import (
	"net/http"
	"sync"
	"time"
)

const (
	// lasting is how long a comparison counts. A clock that is slowly brought
	// right, as NTP does, shows nowhere; one that is set shows at once, see jump.
	lasting = 6 * time.Hour

	// jump is by how much the wall clock may go otherwise than the monotonic one.
	// Beyond that, somebody set the clock, or the machine slept, and which of the
	// two cannot be told; so a comparison from before is forgotten.
	jump = time.Minute
)

// A Clock is the last comparison of our clock with somebody else's. It is safe
// for concurrent use.
type Clock struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	at    time.Time  // when it was compared; zero = never
	ahead time.Duration
}

// New returns a Clock that was not compared yet. now is our own clock; nil is
// time.Now.
func New(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	return &Clock{now: now}
}

// Note compares our clock with the Date of an answer that has just come; an
// answer without one changes nothing.
func (c *Clock) Note(answer http.Header) {
	if date, err := http.ParseTime(answer.Get("Date")); err == nil {
		c.NoteTime(date)
	}
}

// NoteTime compares our clock with somebody else's, which says date just now.
func (c *Clock) NoteTime(date time.Time) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.ahead = now, now.Sub(date)
}

// Ahead returns by how much our clock is ahead; negative is behind. It is not
// known before the first answer, some hours after the last one, and once our
// clock was set since then: a comparison must not outlive what it compared.
func (c *Clock) Ahead() (ahead time.Duration, known bool) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() {
		return 0, false
	}
	if age := now.Sub(c.at); age < 0 || age > lasting || Jumped(c.at, now) {
		return 0, false
	}
	return c.ahead, true
}

// Jumped reports whether the wall clock went otherwise between two moments of
// this process than the monotonic one: it was set, or the machine slept.
func Jumped(then, now time.Time) bool {
	// Sub compares by the monotonic clock, and after Round(0) by the wall clock.
	return jumped(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

func jumped(ticked, shown time.Duration) bool { return (shown - ticked).Abs() > jump }
