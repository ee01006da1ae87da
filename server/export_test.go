package server

import (
	"net/http"
	"time"
)

// SetAfter replaces the clock of the attempts at a taken address.
func (s *Server) SetAfter(after func(time.Duration) <-chan time.Time) {
	for _, l := range s.listeners() {
		l.after = after
	}
}

// HTTPSHandler returns what answers the requests of the HTTPS listener.
func (s *Server) HTTPSHandler() http.Handler { return s.https }

// HTTPHandler returns what answers the requests of the HTTP listener.
func (s *Server) HTTPHandler() http.Handler { return s.http }

// BreakHTTPS closes the socket under a listener that serves.
func (s *Server) BreakHTTPS() { _ = s.https.bound().Close() }

// Complain writes one line to the log of net/http on the HTTPS listener.
func (s *Server) Complain(line string) { s.https.server.ErrorLog.Print(line) }

// NewBindError returns what bind makes of err.
func NewBindError(name, addr string, err error) error {
	return &bindError{name: name, addr: addr, err: err}
}

// Matches is the comparison of If-None-Match.
var Matches = matches

// HostOf is what Config.Key is called with.
var HostOf = hostOf
