package server

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"wellkey/server/framing"
	"wellkey/server/passthrough"
)

// helloTimeout is how long a client may take for what comes before HTTP: a PROXY
// header and a ClientHello, and then again for the handshake.
const helloTimeout = readHeaderTimeout

// waitingLimits are those of connections of which it is not known yet whose they
// are. They are apart from those of the key and of passthrough, so that neither
// can take the other's place. Each may have a ClientHello of 16 kB, twice.
var waitingLimits = limits{connections: 1024, perAddress: 256}

// A gate is what connections come through where more than HTTP is done with them:
// it finds out who the client is (PROXY protocol), passes on what is for others
// (passthrough), makes the handshake, and reads along where requests go to an
// application (framing). That is not done where net/http serves a connection, since a
// handshake makes the stack of a goroutine large: see mostIdle for those that do it.
type gate struct {
	drained
	listener *listener
	waiting  *connections
	out      chan accepted

	ctx     context.Context // done at Close
	cancel  context.CancelFunc
	pending sync.WaitGroup // connections on their way
	carried sync.WaitGroup // connections that are passed on, for hours perhaps, or at rest
	ended   chan struct{}  // closed when no more are taken
	workers sync.WaitGroup // see hands
	next    chan *held     // to one of them that waits
	idle    atomic.Int32   // how many wait
}

// paced is how many connections are accepted at once where more than half of the places
// are taken: then whoever can go on does so first. A flood of connections that are reset
// at once is accepted faster than it is found out that they have gone.
const paced = 16

// An accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

// newGate returns a gate that works until Close.
func newGate(l net.Listener, of *listener) *gate {
	g := &gate{drained: drained{Listener: l}, listener: of, out: make(chan accepted), next: make(chan *held), ended: make(chan struct{})}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	g.waiting = of.waiting
	go g.run()
	return g
}

func (g *gate) run() {
	defer close(g.ended)
	for n := 1; ; n++ {
		conn, err := g.Listener.Accept()
		if err == nil {
			g.receive(hold(conn))
			// Those that were reset meanwhile hold no place once they had their turn.
			if n%paced == 0 && g.listener.open.count() > g.listener.open.total/2 {
				runtime.Gosched()
			}
			continue
		}
		if g.drains.Load() || !g.give(accepted{err: err}) {
			return
		}
		// net/http waits before it takes the next, if the error is one that passes.
		if passing, ok := err.(interface{ Temporary() bool }); !ok || !passing.Temporary() {
			return
		}
	}
}

// identifies reports whether it is to be found out whose connections are.
func (g *gate) identifies() bool {
	return g.listener.owner.config.ProxyProtocol || g.listener.owner.passthrough != nil
}

// receive counts one connection, and has it led if it is not one too many. It is
// counted before the next is accepted, so that a flood takes no more files than are
// its share. It survives a panic.
func (g *gate) receive(base *held) {
	counted := g.listener.open
	if g.identifies() {
		counted = g.waiting
	}
	if !counted.take(base, g.listener.owner.metrics.panics) {
		_ = base.Close() // the client finds out by itself
		return
	}
	g.begin(base)
}

func (g *gate) give(a accepted) bool {
	select {
	case g.out <- a:
		return true
	case <-g.ctx.Done():
		return false
	}
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case a := <-g.out:
		return a.conn, a.err
	case <-g.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Drain implements listen.Drainer.
func (g *gate) Drain(ctx context.Context) {
	g.drain()
	through := make(chan struct{})
	go func() { // it ends with Close at the latest
		<-g.ended
		g.pending.Wait()
		close(through)
	}()
	select {
	case <-through:
		g.listener.open.settle(ctx)
	case <-ctx.Done():
	}
}

// Close implements net.Listener. It cuts what is still on its way.
func (g *gate) Close() error {
	g.cancel()
	g.waiting.closeAll()
	g.listener.resting.close()
	return g.drained.Close()
}

// wait returns when nothing is on its way any more, nor passed on or at rest. It
// comes after Close, here and of passthrough.
func (g *gate) wait() {
	<-g.ended
	g.pending.Wait()
	g.workers.Wait()
	g.carried.Wait()
}

// lead takes one connection to where it belongs.
func (g *gate) lead(base *held) {
	defer g.pending.Done()
	if g.listener.owner.metrics.panics.Do(func() { g.pass(base) }) {
		g.waiting.forget(base)
		g.listener.open.forget(base)
		_ = base.Close()
	}
}

// pass is lead, which survives it: what a stranger sends is taken apart here.
func (g *gate) pass(base *held) {
	var conn net.Conn = base
	if g.identifies() {
		if g.ctx.Err() != nil {
			g.waiting.forget(base)
			_ = base.Close()
			return
		}
		var carry func()
		conn, carry = g.identify(base)
		g.waiting.forget(base)
		if carry != nil {
			g.carried.Go(func() { g.listener.owner.metrics.panics.Do(carry) })
			return
		}
		if conn == nil || !g.listener.open.allow(conn) {
			_ = base.Close()
			return
		}
	}
	if conn = g.secure(conn); conn == nil || !g.give(accepted{conn: conn}) {
		g.listener.open.forget(base)
		_ = base.Close()
	}
}

// identify finds out who the client is and whom it wants. It returns the
// connection as it is ours, or what carries it elsewhere; or neither.
func (g *gate) identify(base *held) (conn net.Conn, carry func()) {
	s := g.listener.owner
	base.early = mostEarly
	_ = base.SetReadDeadline(time.Now().Add(s.patience))
	client := &replayed{Conn: base}
	if s.config.ProxyProtocol && g.listener.trusts(base) {
		var err error
		if client, err = readProxyHeader(base); err != nil {
			g.listener.refuse(badHeader)
			if g.listener.badHeaders.allow(time.Minute) && g.ctx.Err() == nil {
				g.listener.logger.Warn("a trusted proxy sent no valid PROXY header, so its connection was closed; make it send one, or set proxy_protocol off",
					zap.Stringer("remote", base.RemoteAddr()), zap.Error(err))
			}
			return nil, nil
		}
	}
	if g.listener.tls == nil || s.passthrough == nil {
		base.early = -1
		_ = base.SetReadDeadline(time.Time{})
		return client, nil
	}
	name, read, err := passthrough.ReadHello(client)
	_ = base.SetReadDeadline(time.Time{})
	client.read = read
	var broken net.Error
	if errors.As(err, &broken) || errors.Is(err, io.EOF) || errors.Is(err, errLongHello) {
		g.listener.complain(client, err)
		return nil, nil
	}
	// What is no ClientHello is answered by crypto/tls, as it would be without us.
	if target := s.passthrough.Match(name); err == nil && target != nil {
		who := g.listener.open.client(client.RemoteAddr())
		return nil, func() { s.passthrough.Carry(base.Conn, client.RemoteAddr(), client.LocalAddr(), read, target, who) }
	}
	return client, nil
}

// secure makes the TLS handshake, and returns the connection as net/http is to have
// it; nil where the handshake fails.
func (g *gate) secure(conn net.Conn) net.Conn {
	reads := g.listener.routes.upstream != nil
	if g.listener.tls == nil {
		if reads {
			return framing.New(conn)
		}
		return framing.Few(conn)
	}
	secured := tls.Server(conn, g.listener.tls)
	base := heldOf(conn)
	base.early = mostEarly
	by := time.Now().Add(g.listener.owner.patience)
	_ = conn.SetDeadline(by)
	if err := secured.HandshakeContext(g.ctx); err != nil {
		var record tls.RecordHeaderError
		if errors.As(err, &record) && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
			_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS: write https:// in front of the address.\n")
			err = errPlainHTTP
		}
		g.listener.complain(conn, err)
		return nil
	}
	base.early = -1
	g.listener.open.advance(base)
	protocol := secured.ConnectionState().NegotiatedProtocol
	http1 := protocol == "" || protocol == alpnHTTP1
	if http1 && !reads {
		return &kept{Conn: secured, gate: g, readAt: by, writeAt: by}
	}
	_ = conn.SetDeadline(time.Time{})
	if !http1 {
		base.many.Store(true)
		return secured // net/http knows what to do with h2 and challenges
	}
	return &readAlong{framing.New(secured), secured}
}

// looksLikeHTTP reports whether what should be a TLS record begins like a request.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// A readAlong is a TLS connection with HTTP/1 in it that is read along. net/http
// takes the state of TLS from it.
type readAlong struct {
	*framing.Conn
	tls *tls.Conn
}

// ConnectionState is for net/http.
func (r *readAlong) ConnectionState() tls.ConnectionState { return r.tls.ConnectionState() }
