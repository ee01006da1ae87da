package listen

import "time"

// SetAfter replaces the clock of the attempts at a taken address.
func (s *Socket) SetAfter(after func(time.Duration) <-chan time.Time) { s.after = after }

// Break closes the listener under s.
func (s *Socket) Break() { _ = s.bound().Close() }

// NewBindError returns what bind makes of err.
func NewBindError(name, addr string, err error) error {
	return &bindError{name: name, addr: addr, err: err}
}

// HolderOf is what tests see of the look into /proc.
var HolderOf = holderOf
