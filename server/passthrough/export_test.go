package passthrough

import (
	"net"
	"time"

	"wellkey/server/places"
)

// Join copies between two connections, both ways.
func (p *Passthrough) Join(here, there net.Conn, t *Target) { p.join(here, there, t) }

// SetMax sets how many connections are passed on at a time.
func (p *Passthrough) SetMax(n int) { p.places = places.New(n, maxPerAddress) }

// Diagnose says why a target could not be reached.
var Diagnose = diagnose

// Report notes that a target could not be reached, and Recovered that it was.
func (p *Passthrough) Report(t *Target, began time.Time, err error) { p.report(t, began, err) }
func (p *Passthrough) Recovered(t *Target)                          { p.recovered(t) }

// ErrNotHello is the error of what does not begin with a ClientHello.
var ErrNotHello = errNotHello
