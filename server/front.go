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
	net.Listener
	open   *connections
	panics *contain.Part
	mu     sync.Mutex
	drains bool          // guarded by mu
	closed chan struct{} // by Close
	once   sync.Once
}

func newFront(l net.Listener, open *connections, panics *contain.Part) *front {
	return &front{Listener: l, open: open, panics: panics, closed: make(chan struct{})}
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
	f.mu.Lock()
	drains := f.drains
	f.mu.Unlock()
	if drains {
		<-f.closed // what was taken is being served
		return nil, net.ErrClosed
	}
	return nil, err
}

// Drain implements listen.Drainer.
func (f *front) Drain(ctx context.Context) {
	f.mu.Lock()
	f.drains = true
	f.mu.Unlock()
	_ = f.Listener.Close() // nothing comes any more
	f.open.settle(ctx)
}

// Close implements net.Listener.
func (f *front) Close() error {
	f.once.Do(func() { close(f.closed) })
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.drains {
		return nil // it is closed
	}
	return f.Listener.Close()
}
