package passthrough

import "time"

// SetInterval sets how often it is looked whether anything moves.
func (p *Passthrough) SetInterval(d time.Duration) { p.interval = d }

// SetMax sets how many connections are passed on at a time.
func (p *Passthrough) SetMax(n int) { p.max = n }

// Diagnose says why a target could not be reached.
var Diagnose = diagnose

// ErrNotHello is the error of what does not begin with a ClientHello.
var ErrNotHello = errNotHello
