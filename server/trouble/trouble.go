// Package trouble remembers how one server behind this one fails: for the status, and so
// that the log stays readable whatever strangers ask for, and however often.
package trouble

import (
	"sync"
	"time"
)

// A Trouble is that a server behind cannot be reached, or does not answer as it must. It
// is found out when somebody wants something of it, and not before.
type Trouble struct {
	Since, Last time.Time // the first and the last time it failed since it last answered
	Error       string    // what was said, quoted and bounded
	Cause, Fix  string    // without a full stop
}

// rest is how long the log is spared what it was told already.
const rest = time.Minute

// A Record is how one server is. The zero Record is of one of which nothing is known; its
// methods are safe for concurrent use.
type Record struct {
	mu       sync.Mutex
	now      Trouble              // guarded by mu; zero while it answers
	answered time.Time            // guarded by mu; when it last did
	told     map[string]time.Time // guarded by mu; when that was, by what
	down     bool                 // guarded by mu; the last that was told
}

// Failed notes that an attempt failed which began at began, and reports whether that
// says how the server is. One that began before the server last answered does not: it
// came first, and took longer.
func (r *Record) Failed(began time.Time, err, cause, fix string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if began.Before(r.answered) {
		return false
	}
	last := time.Now()
	since := r.now.Since
	if since.IsZero() {
		since = last
	}
	r.now = Trouble{Since: since, Last: last, Error: err, Cause: cause, Fix: fix}
	return true
}

// Tell reports whether a failure is to be logged: each reason once a minute, also where
// the server answers in between. Strangers could make it do both in turns.
func (r *Record) Tell(reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.due(reason) {
		return false
	}
	r.down = true
	return true
}

// Answered notes that the server answered, and reports whether that is to be logged:
// after a failure that was, and once a minute at most.
func (r *Record) Answered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.answered = Trouble{}, time.Now()
	if !r.down || !r.due("") {
		return false
	}
	r.down = false
	return true
}

// due reports whether the log may be told of something again, and takes it for told. It
// is called with mu held; "" is that the server answers.
func (r *Record) due(what string) bool {
	now := time.Now()
	if at, ok := r.told[what]; ok && now.Sub(at) < rest {
		return false
	}
	if r.told == nil {
		r.told = map[string]time.Time{}
	}
	r.told[what] = now
	return true
}

// Now returns what the trouble is, zero where there is none, as far as known.
func (r *Record) Now() Trouble {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}
