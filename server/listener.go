package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// The limits of a connection. A visit is one small GET, so each is far above
// what an honest client needs and far below what an idle one would like.
const (
	// The header of a request is one packet; net/http also takes the smallest
	// timeout as the deadline of the TLS handshake.
	readHeaderTimeout = 5 * time.Second
	// Bodies are not read, so this bounds only how long one may be discarded.
	readTimeout = 10 * time.Second
	// 178 bytes, to a client that may sit behind a lossy mobile network.
	writeTimeout = 10 * time.Second
	// A phone that comes back does so within seconds; an idle connection costs
	// some 35 kB.
	idleTimeout = 30 * time.Second
	// Browsers send 1-2 KiB, with the cookies of another app on the same domain
	// perhaps 6 KiB.
	maxHeaderBytes = 8 << 10
	// One visitor asks for one thing; browsers open 6 or so side by side. The
	// default of Go is 250, each with a goroutine.
	maxConcurrentStreams = 32
	// The smallest windows that net/http takes: bodies are not read, and what a
	// client may send unread is held in memory.
	maxReceiveBuffer = 64 << 10
)

// The wait between attempts at a taken address doubles from firstRetry to
// lastRetry: a predecessor that is still stopping frees it within a second or
// two, another program only when a person acts.
const (
	firstRetry = 1 * time.Second
	lastRetry  = 30 * time.Second
)

// A listener is one address with its routes and its limits.
type listener struct {
	name   string // "http" or "https"
	addr   string // as configured
	drain  time.Duration
	routes routes
	counts requestCounters
	server *http.Server
	owner  *Server
	logger *zap.Logger
	after  func(time.Duration) <-chan time.Time

	mu     sync.Mutex
	socket net.Listener // guarded by mu; nil while not bound
	err    error        // guarded by mu; why not
}

func (s *Server) newListener(name, addr string) *listener {
	l := &listener{
		name:   name,
		addr:   addr,
		drain:  s.config.DrainTimeout,
		owner:  s,
		logger: s.logger.With(zap.String("listener", name)),
		after:  time.After,
	}
	l.server = &http.Server{
		Handler:           l,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxConcurrentStreams,
			MaxReceiveBufferPerConnection: maxReceiveBuffer,
			MaxReceiveBufferPerStream:     maxReceiveBuffer,
			// A client that opens its window by single bytes is gone after this.
			WriteByteTimeout: writeTimeout,
		},
		ErrorLog: newErrorLog(s, l.logger),
		// "OPTIONS *" is answered like everything else that is not ours.
		DisableGeneralOptionsHandler: true,
	}
	return l
}

// run binds the address if Listen could not, then serves until ctx is done.
func (l *listener) run(ctx context.Context) error {
	if err := l.await(ctx); err != nil || l.bound() == nil {
		return err
	}
	return l.serve(ctx)
}

// await tries the address until it is bound or ctx is done.
func (l *listener) await(ctx context.Context) error {
	for wait := firstRetry; l.bound() == nil; wait = min(2*wait, lastRetry) {
		if l.tried() {
			select {
			case <-ctx.Done():
				return nil
			case <-l.after(wait):
			}
		}
		if err := l.bind(ctx); err != nil && !passes(err) && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// bind makes one attempt at the address. Its error is a *bindError, unless ctx
// is done. The first failure and the success after it are logged for all to see,
// the failures between them at debug level.
func (l *listener) bind(ctx context.Context) error {
	var config net.ListenConfig
	socket, err := config.Listen(ctx, "tcp", l.addr)
	if err != nil {
		err = &bindError{name: l.name, addr: l.addr, err: err}
	}
	again := l.tried()
	l.mu.Lock()
	l.socket, l.err = socket, err
	l.mu.Unlock()
	switch {
	case err == nil:
		l.logger.Info("listening", zap.Stringer("address", socket.Addr()))
	case again:
		l.logger.Debug("address still not to be had", zap.String("address", l.addr), zap.Error(err))
	case passes(err):
		l.logger.Warn("address not to be had yet, trying on", zap.String("address", l.addr), zap.Error(err))
	}
	return err
}

// serve serves until ctx is done, then gives open requests the time to finish
// and cuts the rest.
func (l *listener) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		<-ctx.Done()
		stop, done := context.WithTimeout(context.WithoutCancel(ctx), l.drain)
		defer done()
		if err := l.server.Shutdown(stop); err != nil {
			// A visitor that dawdles must not turn a clean stop into a failure.
			l.logger.Warn("connections still open at the end of the drain were cut", zap.Duration("drain_timeout", l.drain))
			_ = l.server.Close() // its error is of no use: the sockets are gone either way
		}
	}()
	var err error
	if l.server.TLSConfig != nil {
		err = l.server.ServeTLS(l.bound(), "", "")
	} else {
		err = l.server.Serve(l.bound())
	}
	cancel() // Serve may have failed on its own; release the goroutine above.
	<-drained
	l.close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving %s on %s: %w", l.name, l.addr, err)
}

func (l *listener) bound() net.Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.socket
}

// boundAddr returns the real address, "" while there is none. The nil listener
// is one that is switched off.
func (l *listener) boundAddr() string {
	if l == nil {
		return ""
	}
	if socket := l.bound(); socket != nil {
		return socket.Addr().String()
	}
	return ""
}

func (l *listener) tried() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err != nil
}

func (l *listener) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.socket != nil {
		_ = l.socket.Close() // closed twice where Serve did so
		l.socket = nil
	}
}

func (l *listener) state() Listener {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := Listener{Name: l.name, Addr: l.addr, Bound: l.socket != nil}
	if l.socket != nil {
		state.Addr = l.socket.Addr().String()
	}
	if l.err != nil {
		state.Error = l.err.Error()
	}
	return state
}
