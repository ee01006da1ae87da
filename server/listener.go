package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/listen"
)

// Limits of every listener. A visit is one small GET, so each is far above what an
// honest client needs and far below what an idle one would like.
const (
	// The header of a request is one packet. What comes before it has as long
	// again; see helloTimeout.
	readHeaderTimeout = 5 * time.Second
	// Bodies are not read, so this bounds only how long one may be discarded. What
	// goes to an application has deadlines of its own; see upstream.
	readTimeout = 10 * time.Second
	// 178 bytes, to a client that may sit behind a lossy mobile network.
	writeTimeout = 10 * time.Second
)

// limits are those that depend on what is served.
type limits struct {
	// How many connections a listener holds open, and of one client. An idle one
	// costs some 16 kB at rest (see kept), 35 kB in the hands of net/http.
	connections, perAddress int
	// How fast one client may open connections. A browser opens six at once, an
	// office with an application a few dozen; a handshake takes some 0.3 ms.
	pace pace
	// Whether all is answered here, and nothing by an application.
	alone bool
	// A phone that comes back does so within seconds; a browser with an
	// application open does for longer.
	idleTimeout time.Duration
	// Browsers send 1-2 KiB, with the cookies of another app on the same domain
	// perhaps 6 KiB; applications take more.
	headerBytes int
	// One visitor asks for one thing; browsers that load an application ask for
	// dozens. The default of Go is 250, each with a goroutine.
	streams int
	// What a client may send unread is held in memory.
	receivePerConnection, receivePerStream int
	// And a frame is, before it is looked at.
	frame int
	// A client that opens its window by single bytes is gone after this.
	writeByteTimeout time.Duration
}

var (
	// All connections together take some 50 MB at most, and one client alone cannot
	// take them all. The windows are the smallest that net/http takes.
	keyLimits = limits{
		connections: 1024, perAddress: 64, pace: perSecond(50), alone: true, idleTimeout: 30 * time.Second, headerBytes: 8 << 10, streams: 32,
		receivePerConnection: 64 << 10, receivePerStream: 64 << 10, frame: 16 << 10, writeByteTimeout: writeTimeout,
	}
	// With an application behind: twice the connections, since some are websockets
	// that stay, a household or an office behind one address, large cookies, and
	// windows in which an upload over a slow link does not starve.
	upstreamLimits = limits{
		connections: 2048, perAddress: 256, pace: perSecond(100), idleTimeout: 2 * time.Minute, headerBytes: 32 << 10, streams: 128,
		receivePerConnection: 1 << 20, receivePerStream: 256 << 10, frame: 16 << 10, writeByteTimeout: time.Minute,
	}
)

// A listener is one address with its routes and its limits.
type listener struct {
	*listen.Socket
	name      string // "http" or "https"
	routes    routes
	counts    requestCounters
	durations requestDurations
	open      *connections
	waiting   *connections // see gate
	server    *http.Server
	owner     *Server
	logger    *zap.Logger

	// With a gate:
	tls     *tls.Config // nil: no TLS here
	gate    *gate       // nil: not yet, or none
	resting rest        // see kept

	noise, badHeaders limiter // of the log: failed handshakes, PROXY headers
}

func (s *Server) newListener(name, addr string, limits limits) *listener {
	l := &listener{
		Socket: listen.New(name, addr, s.logger),
		name:   name,
		owner:  s,
		logger: s.logger.With(zap.String("listener", name)),
	}
	l.open = newConnections(limits, s.trusted, l.refuse, l.displace)
	l.open.others = l.elsewhere
	l.waiting = newConnections(s.waiting, s.trusted, l.refuse, l.displace)
	l.server = &http.Server{
		Handler: l,
		ConnState: func(conn net.Conn, state http.ConnState) {
			l.owner.metrics.panics.Do(func() { l.state(conn, state) })
		},
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       limits.idleTimeout,
		MaxHeaderBytes:    limits.headerBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          limits.streams,
			MaxReceiveBufferPerConnection: limits.receivePerConnection,
			MaxReceiveBufferPerStream:     limits.receivePerStream,
			MaxReadFrameSize:              limits.frame,
			WriteByteTimeout:              limits.writeByteTimeout,
		},
		ErrorLog: newErrorLog(s, l.logger),
		// "OPTIONS *" is answered like everything else that is not ours.
		DisableGeneralOptionsHandler: true,
	}
	l.server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		if _, ok := conn.(*kept); ok {
			return ctx // neither a websocket nor HTTP/2 comes of it
		}
		return context.WithValue(ctx, heldKey{}, heldOf(conn))
	}
	return l
}

// refuse counts a connection that is closed before it is served.
func (l *listener) refuse(reason string) {
	l.owner.metrics.rejected.WithLabelValues(l.name, reason).Inc()
}

// displace counts a connection that lost its place to another.
func (l *listener) displace(what string) {
	l.owner.metrics.displaced.WithLabelValues(l.name, what).Inc()
}

// trusts reports whether a connection comes from a trusted proxy.
func (l *listener) trusts(conn net.Conn) bool {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && l.owner.trusted.Contains(tcp.AddrPort().Addr())
}

// elsewhere returns about how many goroutines have connections that l does not count as
// its own: one has each that waits, or is of another listener.
func (l *listener) elsewhere() (goroutines int) {
	for _, other := range l.owner.listeners() {
		goroutines += other.waiting.count()
		if other != l {
			goroutines += other.open.count()
		}
	}
	if l.owner.passthrough != nil {
		goroutines += l.owner.passthrough.Goroutines()
	}
	if l.owner.upstream != nil {
		goroutines += l.owner.upstream.Goroutines()
	}
	return goroutines
}

// gated reports whether more than HTTP is done with the connections of l.
func (l *listener) gated() bool {
	return l.tls != nil || l.routes.upstream != nil || l.owner.config.ProxyProtocol
}

// state implements http.Server.ConnState.
func (l *listener) state(conn net.Conn, state http.ConnState) {
	k, ok := conn.(*kept)
	switch {
	case !ok:
	case state == http.StateNew:
		return // it has been counted
	case state == http.StateIdle:
		k.waits, k.looked = true, false
	case state == http.StateClosed && k.state.Load() != inUse:
		return // it is at rest
	}
	l.open.state(conn, state)
}

// serve serves until ctx is done, and drains.
func (l *listener) serve(ctx context.Context, drain time.Duration) error {
	l.Front(func(bound net.Listener) net.Listener {
		if l.routes.upstream == nil && (l.tls == nil || l.owner.passthrough == nil) {
			buffer(bound)
		}
		if !l.gated() {
			return newFront(bound, l.open, l.owner.metrics.panics)
		}
		l.gate = newGate(bound, l)
		return l.gate
	})
	err := l.Serve(ctx, l.server, drain)
	if l.gate == nil {
		return err
	}
	_ = l.gate.Close() // it is, unless Serve failed
	if l.owner.passthrough != nil {
		l.owner.passthrough.Close()
	}
	l.gate.wait()
	return err
}

// heldKey is the key, in the context of a request, of what is held of its connection.
type heldKey struct{}

// heldBy returns that; nil where nobody needs to know.
func heldBy(r *http.Request) *held {
	h, _ := r.Context().Value(heldKey{}).(*held)
	return h
}
