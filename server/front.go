package server

import (
	"context"
	"net"
	"sync"

	"wellkey/internal/contain"
	"wellkey/server/framing"
)

// A front is what the connections of a listener come through where nothing but HTTP
// is done with them: it closes those that are too many, and knows how to drain.
type front struct {
	drained
	open   *connections
	panics *contain.Part
	closed chan struct{} // by Close
	once   sync.Once     // of closed
}

func newFront(l net.Listener, open *connections, panics *contain.Part) *front {
	return &front{drained: drained{Listener: l}, open: open, panics: panics, closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (f *front) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	for ; err == nil; conn, err = f.Listener.Accept() {
		one := hold(conn)
		if f.open.take(one, f.panics) {
			return framing.Few(one), nil
		}
		_ = conn.Close() // the client finds out by itself
	}
	if f.drains.Load() {
		<-f.closed // what was taken is being served
		return nil, net.ErrClosed
	}
	return nil, err
}

// Drain implements listen.Drainer.
func (f *front) Drain(ctx context.Context) {
	f.drain()
	f.open.settle(ctx)
}

// Close implements net.Listener.
func (f *front) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.drained.Close()
}
