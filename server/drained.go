package server

import (
	"net"
	"sync"
	"sync/atomic"
)

// A drained is a listener that ends once: when it drains, or else by Close.
type drained struct {
	net.Listener
	drains atomic.Bool // nothing is to come any more
	ends   sync.Once
}

// drain has Accept fail from now on, after drains is set.
func (d *drained) drain() {
	d.drains.Store(true)
	_ = d.Close() // whoever serves ends all the same
}

// Close implements net.Listener.
func (d *drained) Close() (err error) {
	d.ends.Do(func() { err = d.Listener.Close() })
	return err
}
