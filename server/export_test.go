package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"wellkey/server/peer"
)

// HTTPSHandler returns what answers the requests of the HTTPS listener.
func (s *Server) HTTPSHandler() http.Handler { return s.https }

// HTTPHandler returns what answers the requests of the HTTP listener.
func (s *Server) HTTPHandler() http.Handler { return s.http }

// Complain writes one line to the log of net/http on the HTTPS listener.
func (s *Server) Complain(line string) { s.https.server.ErrorLog.Print(line) }

// ComplainOf has a handshake on the HTTPS listener end with err.
func (s *Server) ComplainOf(conn net.Conn, err error) { s.https.complain(conn, err) }

// The errors with which handshakes end.
var (
	ErrBusy        = errBusy
	ErrMultiplexed = errMultiplexed
	ErrLongHello   = errLongHello
	ErrPlainHTTP   = errPlainHTTP
)

// Matches is the comparison of If-None-Match.
var Matches = matches

// HostOf is what Config.Key is called with.
var HostOf = hostOf

// LimitHTTPS sets how many connections the HTTPS listener holds open.
func (s *Server) LimitHTTPS(total int) { s.https.open.total = total }

// Full sets how many connections each listener holds open.
func (s *Server) Full(total int) {
	for _, l := range s.listeners() {
		l.open.mu.Lock()
		l.open.total = total
		l.open.mu.Unlock()
	}
}

// SetPatience sets how long a client may take for what comes before HTTP.
func (s *Server) SetPatience(d time.Duration) { s.patience = d }

// Unhurried has the server wait for clients as good as without end, so that what a
// test sees within its patience is no timeout, however busy the machine is.
func (s *Server) Unhurried() {
	const long = time.Hour
	s.patience = long
	for _, l := range s.listeners() {
		l.server.ReadTimeout, l.server.ReadHeaderTimeout, l.server.WriteTimeout = long, long, long
	}
}

// SetHeaderTimeout sets how long the HTTPS listener waits for a header.
func (s *Server) SetHeaderTimeout(d time.Duration) { s.https.server.ReadHeaderTimeout = d }

// SetRest sets how long a connection waits in the hands of net/http.
func (s *Server) SetRest(d time.Duration) { s.rest = d }

// Resting returns how many connections of the HTTPS listener are at rest.
func (s *Server) Resting() int {
	r := &s.https.resting
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// MostIdle is how many goroutines wait for the next connection.
const MostIdle = mostIdle

// IdleHands returns how many of the HTTPS listener do so.
func (s *Server) IdleHands() int { return int(s.https.gate.idle.Load()) }

// Awaits reports whether the client of a request that is being answered is waited for as
// soon as its body alone is missing.
func (s *Server) Awaits(r *http.Request) bool {
	h := heldBy(r)
	s.https.open.state(h, http.StateActive)
	before := h.active.Load()
	s.answered(r)
	return before && !h.active.Load()
}

// Open returns how many connections the HTTPS listener counts.
func (s *Server) Open() int { return s.https.open.count() }

// Held returns the connections of the HTTPS listener as the network has them.
func (s *Server) Held() (all []net.Conn) {
	s.https.open.mu.Lock()
	defer s.https.open.mu.Unlock()
	for _, h := range s.https.open.open {
		all = append(all, h.Conn)
	}
	return all
}

// MostBuffered is how many bytes the kernel holds for a connection, each way.
const MostBuffered = mostBuffered

// SetIdle sets how long an idle connection is kept.
func (s *Server) SetIdle(d time.Duration) { s.https.server.IdleTimeout = d }

// CrowdOf is how many requests may wait for their clients where so many connections are
// held.
var CrowdOf = crowd

// Crowd sets how many requests may wait for their clients. The goroutines that the tests
// have already do not count.
func (s *Server) Crowd(most int) {
	c, before := s.https.open, runtime.NumGoroutine()
	others := c.others
	c.crowd, c.others = most, func() int { return before + others() }
}

// Multiplexed returns over how many connections of the HTTPS listener HTTP/2 is spoken.
func (s *Server) Multiplexed() int {
	s.https.open.mu.Lock()
	defer s.https.open.mu.Unlock()
	return s.https.open.multiple
}

// WaitUntil has each client be waited for only from later on.
func (s *Server) WaitUntil(later time.Duration) {
	for _, l := range s.listeners() {
		c := l.open
		c.mu.Lock()
		for _, h := range c.open {
			h.since.Store(c.now() + int64(later))
			h.back.Store(c.now() + int64(later)) // else nobody stalls in the first moment of c
		}
		c.mu.Unlock()
	}
}

// Greeted returns how many clients of the HTTPS listener began a handshake and were answered
// nothing yet, and for how long one of them was waited for at most.
func (s *Server) Greeted() (clients int, longest time.Duration) {
	c := s.https.open
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.open {
		if h.greeted.Load() && h.fresh.Load() {
			clients++
			longest = max(longest, time.Duration(c.now()-h.since.Load()))
		}
	}
	return clients, longest
}

// Multiplex sets how many those may be.
func (s *Server) Multiplex(most int) { s.https.open.mostMultiplexed = most }

// SetWriteTimeout sets how long a client of HTTP/2 on the HTTPS listener may take
// to read some of its answers.
func (s *Server) SetWriteTimeout(d time.Duration) { s.https.server.HTTP2.WriteByteTimeout = d }

// HeldUp returns how many connections of the HTTPS listener are not read until what
// is written has been read.
func (s *Server) HeldUp() (n int) {
	s.https.open.mu.Lock()
	defer s.https.open.mu.Unlock()
	for _, h := range s.https.open.open {
		if h.waits.Load() != nil {
			n++
		}
	}
	return n
}

// Hold returns conn as one that c counts and reads from, and MostAhead is what is
// read of it while one write hangs.
func (c Connections) Hold(conn net.Conn) net.Conn {
	h := hold(conn)
	h.many.Store(true)
	c.connections.admit(h, c.client(conn.RemoteAddr()), 0)
	c.held[conn] = h
	return h
}

// PerConnection is how much memory is reckoned for a connection.
const PerConnection = perConnection

// HoldMany is Hold for a connection over which HTTP/2 is spoken. asks notes a request.
// takes notes what an application has of a body.
func (c Connections) HoldMany(conn net.Conn) (held net.Conn, asks func(), takes func(int)) {
	h := hold(conn)
	h.many.Store(true)
	c.connections.admit(h, netip.Prefix{}, 0)
	return h, func() { h.asked.Add(1) }, h.took
}

// OnDisplaced has f told of who loses its place.
func (c Connections) OnDisplaced(f func(what string)) { c.displaced = f }

// From returns a context of requests that came over conn, which the HTTPS listener
// counts from now on.
func (s *Server) From(ctx context.Context, conn net.Conn) context.Context {
	h := hold(conn)
	s.https.open.admit(h, netip.Prefix{}, 0)
	return context.WithValue(ctx, heldKey{}, h)
}

const (
	LookedInVain  = lookedInVain
	MostAhead     = mostAhead
	MostEarly     = mostEarly
	MostUnread    = mostUnread
	MostIdleTalk  = mostIdleTalk
	ManyTalk      = manyTalk
	IdleTalk      = idleTalk
	PerThanks     = perThanks
	PerFrame      = perFrame
	MostTakenBack = mostTakenBack
	LeastWait     = leastWait
	StalledAfter  = 2 * leastWait
)

// LimitHTTPClient sets how many connections of one client the HTTP listener holds
// open.
func (s *Server) LimitHTTPClient(most int) { s.http.open.perAddress = most }

// Waiting returns how many connections of which it is not known whose they are a gate
// holds, and of one client.
func (s *Server) Waiting() (connections, perAddress int) {
	return s.waiting.connections, s.waiting.perAddress
}

// Connections counts connections from addresses.
type Connections struct {
	*connections
	held map[net.Conn]*held
}

// NewConnections returns one that allows so many in total, from one address, and
// of one address a second.
func NewConnections(total, perAddress, perSecondAndAddress int) Connections {
	l := limits{connections: total, perAddress: perAddress, pace: perSecond(perSecondAndAddress), alone: true, headerBytes: keyLimits.headerBytes}
	c := newConnections(l, peer.Trusted{netip.MustParsePrefix("198.51.100.0/24")}, func(string) {}, func(string) {})
	return Connections{c, map[net.Conn]*held{}}
}

// Admit returns "" or why conn is one too many; at is the time.
func (c Connections) Admit(conn net.Conn, at time.Duration) (reason string) {
	h := hold(conn)
	reason = c.connections.admit(h, c.client(conn.RemoteAddr()), int64(at))
	if reason == "" {
		c.held[conn] = h
	}
	return reason
}

// Multiplex reports whether HTTP/2 may be spoken over conn, by a client that may speak
// nothing else; at is the time.
func (c Connections) Multiplex(conn net.Conn, only bool, at time.Duration) bool {
	return c.multiplex(c.held[conn], only, int64(at))
}

// Multiplexed returns over how many connections HTTP/2 is spoken, and may be.
func (c Connections) Multiplexed() (now, most int) { return c.multiple, c.mostMultiplexed }

// Many says whether HTTP/2 is spoken over conn.
func (c Connections) Many(conn net.Conn, many bool) { c.held[conn].many.Store(many) }

// Relieve looks for who is to go in a crowd that could not be larger, an hour after c began.
func (c Connections) Relieve() (crowded bool) {
	c.crowd, c.began = -1<<30, time.Now().Add(-time.Hour)
	return c.relieve()
}

// Set says what conn does, and since when.
func (c Connections) Set(conn net.Conn, state http.ConnState, since time.Duration) {
	c.state(c.held[conn], state)
	c.held[conn].since.Store(int64(since))
}

// Advance says that the handshake over conn goes on; at is the time.
func (c Connections) Advance(conn net.Conn, at time.Duration) {
	c.advance(c.held[conn])
	c.held[conn].since.Store(int64(at))
}

// Now is the time, by the clock of c.
func (c Connections) Now() time.Duration { return time.Duration(c.now()) }

// Away says that an application has a request of conn, or has it no more.
func (c Connections) Away(conn net.Conn, away bool) {
	if h := c.held[conn]; away {
		h.goAway()
	} else {
		h.comeBack()
	}
}

// Tire has n others wait that said much.
func (c Connections) Tire(n int) { c.tiring.Store(int64(n)) }

// Tiring returns how many wait.
func (c Connections) Tiring() int { return int(c.tiring.Load()) }

// Forget counts conn no more.
func (c Connections) Forget(conn net.Conn) {
	if h := c.held[conn]; h != nil {
		c.forget(h)
	}
}

// Held returns how many connections and clients are counted.
func (c Connections) Held() (conns, clients int) { return len(c.open), len(c.from) }

// A Line lets a few handshakes be worked on at a time.
type Line struct{ *line }

// NewLine returns one that lets so many.
func NewLine(free int) Line {
	l := newLine(newConnections(keyLimits, nil, nil, nil).client)
	l.free = free
	return Line{l}
}

// Patience sets how long one waits.
func (l Line) Patience(d time.Duration) { l.longest = d }

// Standing returns how many stand in the line.
func (l Line) Standing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.only.Len() + l.more.Len()
}

// A Turn is of one connection.
type Turn struct {
	held *held
	err  chan error // of the wait, when it has ended
}

// Join has a connection from an address wait for its turn. It returns when that
// has come, or it stands in the line.
func (l Line) Join(address string) *Turn {
	near, far := net.Pipe()
	_ = far.Close()
	return l.stands(hold(from{near, net.ParseIP(address)}))
}

// JoinAs is Join for conn, which c counts, or did.
func (l Line) JoinAs(c Connections, conn net.Conn) *Turn { return l.stands(c.held[conn]) }

func (l Line) stands(one *held) *Turn {
	turn := &Turn{one, make(chan error, 1)}
	w := l.stand(one, one)
	if w == nil {
		turn.err <- nil
		return turn
	}
	go func() { turn.err <- l.wait(context.Background(), w) }()
	return turn
}

// A from is a connection from an address.
type from struct {
	net.Conn
	ip net.IP
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: f.ip} }

// Comes waits for the turn, and reports whether it came.
func (t *Turn) Comes() bool { return <-t.err == nil }

// Err returns why it did not come.
func (t *Turn) Err() error { return <-t.err }

// Has reports whether it has come.
func (t *Turn) Has() bool { return t.held.turn.Load() != nil }

// Conn returns the connection.
func (t *Turn) Conn() net.Conn { return t.held }

// Leave ends it.
func (t *Turn) Leave() { t.held.leave() }

// ListenerLimits are those of a listener.
type ListenerLimits struct{ limits }

// The limits of listeners.
var (
	KeyLimits      = ListenerLimits{keyLimits}
	UpstreamLimits = ListenerLimits{upstreamLimits}
)

// Connections, Multiplexed, PerAddress, IdleTimeout, HeaderBytes and Streams are what the
// documents tell of l.
func (l ListenerLimits) Connections() int           { return l.connections }
func (l ListenerLimits) Multiplexed() int           { return l.multiplexed() }
func (l ListenerLimits) Requests() int              { return l.requests() }
func (l ListenerLimits) PerAddress() int            { return l.perAddress }
func (l ListenerLimits) IdleTimeout() time.Duration { return l.idleTimeout }
func (l ListenerLimits) HeaderBytes() int           { return l.headerBytes }
func (l ListenerLimits) Rate() int                  { return int(time.Second / l.pace.interval) }
func (l ListenerLimits) Streams() int               { return l.streams }

// LimitsWithin returns how many connections a listener that serves the key holds
// open, and of one client, where the process may open so many files and have so much
// memory.
func LimitsWithin(descriptors, memory uint64, by Limits) (connections, perAddress int) {
	l := keyLimits.set(by).within(divide(descriptors, memory, shape{set: by.Connections > 0}).key)
	return l.connections, l.perAddress
}

// Divided is how many connections every part of a server holds at most, and how many
// files those are.
type Divided struct{ HTTPS, HTTP, Waiting, Carried, Requests, Files int }

// Divide returns that for a process that may open so many files and have so much
// memory, where so many gates find out whose connections are.
func Divide(descriptors, memory uint64, passes, both, set, app bool, gates uint64) Divided {
	all := divide(descriptors, memory, shape{passes, both, set, app, gates})
	many := keyLimits
	many.connections = 1 << 20
	d := Divided{HTTPS: many.within(all.key).connections, HTTP: many.within(all.redirect).connections, Waiting: many.within(all.waiting).connections}
	if both {
		d.HTTP = d.HTTPS
	}
	if gates == 0 {
		d.Waiting = 0
	}
	if passes {
		d.Carried = all.carried.carried(1 << 20)
	}
	if app {
		d.Requests = many.within(all.key).requests()
	}
	d.Files = d.HTTPS + d.HTTP + d.Requests + int(gates)*d.Waiting + filesCarried*d.Carried
	return d
}

// Break has everything that is refused by both listeners panic.
func (s *Server) Break() {
	for _, l := range s.listeners() {
		l.open.refused = func(string) { panic("refused") }
	}
}

// ReadProxyHeader reads the header that a trusted proxy sends.
func ReadProxyHeader(conn net.Conn) (net.Conn, error) { return readProxyHeader(conn) }
