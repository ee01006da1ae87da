package passthrough

import (
	"time"

	"wellkey/server/places"
)

// SetInterval sets how often it is looked whether anything moves.
func (p *Passthrough) SetInterval(d time.Duration) { p.interval = d }

// SetMax sets how many connections are passed on at a time.
func (p *Passthrough) SetMax(n int) { p.places = places.New(n, maxPerAddress) }

// Diagnose says why a target could not be reached.
var Diagnose = diagnose

// Report notes that a target could not be reached, and Recovered that it was.
func (p *Passthrough) Report(t *Target, began time.Time, err error) { p.report(t, began, err) }
func (p *Passthrough) Recovered(t *Target)                          { p.recovered(t) }

// ErrNotHello is the error of what does not begin with a ClientHello.
var ErrNotHello = errNotHello
