package server

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/listen"
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

// A listener is one address with its routes and its limits.
type listener struct {
	*listen.Socket
	name      string // "http" or "https"
	routes    routes
	counts    requestCounters
	durations requestDurations
	open      *connections
	server    *http.Server
	owner     *Server
	logger    *zap.Logger
}

func (s *Server) newListener(name, addr string) *listener {
	l := &listener{
		Socket: listen.New(name, addr, s.logger),
		name:   name,
		owner:  s,
		logger: s.logger.With(zap.String("listener", name)),
	}
	l.open = newConnections(func(reason string) { s.metrics.rejected.WithLabelValues(l.name, reason).Inc() })
	l.server = &http.Server{
		Handler:           l,
		ConnState:         l.open.state,
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
