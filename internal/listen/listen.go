// Package listen binds an address and goes on trying while another program
// holds it, then serves HTTP there until it is told to stop: what the public
// listeners and the admin listener have in common.
package listen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// The wait between attempts at a taken address doubles from firstRetry to
// lastRetry: a predecessor that is still stopping frees it within a second or
// two, another program only when a person acts.
const (
	firstRetry = 1 * time.Second
	lastRetry  = 30 * time.Second
)

// A Socket is one address to listen on. Listen and Serve are called once each,
// in this order; the other methods are safe for concurrent use.
type Socket struct {
	name  string // "http", "https" or "admin": the setting is NAME_addr
	addr  string // as configured
	log   *zap.Logger
	after func(time.Duration) <-chan time.Time
	given net.Listener // nil: bind addr
	front func(net.Listener) net.Listener

	mu       sync.Mutex
	listener net.Listener // guarded by mu; nil while not bound
	err      error        // guarded by mu; why not
}

// New returns a Socket for addr (host:port) that is not bound yet. Its name is
// that of the setting NAME_addr, for errors and log lines.
func New(name, addr string, log *zap.Logger) *Socket {
	return &Socket{name: name, addr: addr, log: log.With(zap.String("listener", name)), after: time.After}
}

// Inherit has s listen on l, which somebody else bound, in the place of its
// address. It is called before Listen.
func (s *Socket) Inherit(l net.Listener) { s.given = l }

// Front has the connections of s go through what front makes of its listener,
// which may be a Drainer. It is called before Serve.
func (s *Socket) Front(front func(net.Listener) net.Listener) { s.front = front }

// A Drainer is a listener that is told when it is time to stop. Drain takes no
// new connections, and returns when those that it took have been served once, or
// ctx is done: net/http drops a request that it reads after it was told to shut
// down, and whoever sent it would take that for a failure. Accept goes on giving
// what is on its way, and then blocks until Close.
type Drainer interface{ Drain(ctx context.Context) }

// State is how a Socket stands.
type State struct {
	Name  string
	Addr  string // the real address, or the one that is tried while Bound is false
	Bound bool
	Error string // why it is not bound: cause and fix
}

// State returns how the socket stands.
func (s *Socket) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{Name: s.name, Addr: s.addr, Bound: s.listener != nil}
	if s.listener != nil {
		state.Addr = s.listener.Addr().String()
	}
	if s.err != nil {
		state.Error = s.err.Error()
	}
	return state
}

// Addr returns the real address, "" while it is not bound.
func (s *Socket) Addr() string {
	if state := s.State(); state.Bound {
		return state.Addr
	}
	return ""
}

// Listen makes one attempt at the address, so that after it the real one is
// known. An address that is taken, or not yet on this host, is no error: it is
// logged, and Serve goes on trying. Every other failure is an error that names
// the address, the cause and the fix.
func (s *Socket) Listen(ctx context.Context) error {
	if err := s.bind(ctx); err != nil && !passes(err) {
		return err
	}
	return nil
}

// Close gives up the address, for when Serve will not be called.
func (s *Socket) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close() // closed twice where Serve did so
		s.listener = nil
	}
}

// Serve binds the address if Listen could not, then serves srv there until ctx
// is done; it gives open requests drain to finish, cuts the rest, and returns
// nil. An srv with a TLSConfig serves TLS.
func (s *Socket) Serve(ctx context.Context, srv *http.Server, drain time.Duration) error {
	if err := s.await(ctx); err != nil || s.bound() == nil {
		return err
	}
	listener := s.bound()
	if s.front != nil {
		listener = s.front(listener)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		<-ctx.Done()
		stop, done := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer done()
		if front, ok := listener.(Drainer); ok {
			begin, begun := context.WithTimeout(stop, drain/2)
			front.Drain(begin)
			begun()
		}
		if err := srv.Shutdown(stop); err != nil {
			// A visitor that dawdles must not turn a clean stop into a failure.
			s.log.Warn("connections still open at the end of the drain were cut", zap.Duration("drain_timeout", drain))
			_ = srv.Close() // its error is of no use: the sockets are gone either way
		}
	}()
	var err error
	if srv.TLSConfig != nil {
		err = srv.ServeTLS(listener, "", "")
	} else {
		err = srv.Serve(listener)
	}
	cancel() // Serve may have failed on its own; release the goroutine above.
	<-drained
	s.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving %s on %s: %w", s.name, s.addr, err)
}

// await tries the address until it is bound or ctx is done.
func (s *Socket) await(ctx context.Context) error {
	for wait := firstRetry; s.bound() == nil; wait = min(2*wait, lastRetry) {
		if s.State().Error != "" {
			select {
			case <-ctx.Done():
				return nil
			case <-s.after(wait):
			}
		}
		if err := s.bind(ctx); err != nil && !passes(err) && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// bind makes one attempt at the address. Its error is a *bindError. The first
// failure and the success after it are logged for all to see, the failures
// between them at debug level.
func (s *Socket) bind(ctx context.Context) error {
	listener, err := s.given, error(nil)
	if listener == nil {
		listener, err = open(ctx, s.addr)
	}
	if err != nil {
		err = &bindError{name: s.name, addr: s.addr, err: err, holder: cmp.Or(holder(s.addr, err), s.formerHolder())}
	}
	again := s.State().Error != ""
	s.mu.Lock()
	s.listener, s.err = listener, err
	s.mu.Unlock()
	switch {
	case err == nil:
		s.log.Info("listening", zap.Stringer("address", listener.Addr()))
	case again:
		s.log.Debug("address still not available", zap.String("address", s.addr), zap.Error(err))
	case passes(err):
		s.log.Warn("address not available yet, retrying", zap.String("address", s.addr), zap.Error(err))
	}
	return err
}

// formerHolder returns who held the port when that was last seen: later the process
// may have shut itself out of what others do.
func (s *Socket) formerHolder() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if former, ok := errors.AsType[*bindError](s.err); ok {
		return former.holder
	}
	return ""
}

func (s *Socket) bound() net.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener
}
