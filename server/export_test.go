package server

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"wellkey/server/peer"
)

// HTTPSHandler returns what answers the requests of the HTTPS listener.
func (s *Server) HTTPSHandler() http.Handler { return s.https }

// HTTPHandler returns what answers the requests of the HTTP listener.
func (s *Server) HTTPHandler() http.Handler { return s.http }

// Complain writes one line to the log of net/http on the HTTPS listener.
func (s *Server) Complain(line string) { s.https.server.ErrorLog.Print(line) }

// Matches is the comparison of If-None-Match.
var Matches = matches

// HostOf is what Config.Key is called with.
var HostOf = hostOf

// LimitHTTPS sets how many connections the HTTPS listener holds open.
func (s *Server) LimitHTTPS(total int) { s.https.open.total = total }

// SetPatience sets how long a client may take for what comes before HTTP.
func (s *Server) SetPatience(d time.Duration) { s.patience = d }

// SetIdle sets how long an idle connection is kept.
func (s *Server) SetIdle(d time.Duration) { s.https.server.IdleTimeout = d }

// LimitHTTPClient sets how many connections of one client the HTTP listener holds
// open.
func (s *Server) LimitHTTPClient(most int) { s.http.open.perAddress = most }

// Connections counts connections from addresses.
type Connections struct{ *connections }

// NewConnections returns one that allows so many in total and from one address.
func NewConnections(total, perAddress int) Connections {
	c := newConnections(limits{connections: total, perAddress: perAddress}, peer.Trusted{netip.MustParsePrefix("198.51.100.0/24")}, func(string) {})
	return Connections{c}
}

// Admit returns "" or why conn is one too many.
func (c Connections) Admit(conn net.Conn) string { return c.admit(conn) }

// Forget counts conn no more.
func (c Connections) Forget(conn net.Conn) { c.forget(conn) }

// Held returns how many connections and clients are counted.
func (c Connections) Held() (conns, clients int) { return len(c.open), len(c.from) }

// Limits are those of a listener.
type Limits struct{ limits }

// The limits of listeners.
var (
	KeyLimits      = Limits{keyLimits}
	UpstreamLimits = Limits{upstreamLimits}
)

// Connections, PerAddress, IdleTimeout, HeaderBytes and Streams are what the
// documents tell of l.
func (l Limits) Connections() int           { return l.connections }
func (l Limits) PerAddress() int            { return l.perAddress }
func (l Limits) IdleTimeout() time.Duration { return l.idleTimeout }
func (l Limits) HeaderBytes() int           { return l.headerBytes }
func (l Limits) Streams() int               { return l.streams }

// LimitsWithin returns how many connections a listener that serves the key holds
// open, and of one client, where the process may open so many files.
func LimitsWithin(descriptors uint64) (connections, perAddress int) {
	l := keyLimits.within(descriptors)
	return l.connections, l.perAddress
}
