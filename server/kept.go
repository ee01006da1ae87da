package server

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"wellkey/server/framing"
)

// A kept is an HTTPS connection as net/http has it, where HTTP/1 is spoken and all
// is answered here. It leaves undone what net/http does for each request and nobody
// here needs, and takes the connection back where its client is silent for a while:
// net/http holds some 12 kB for one that waits, and a goroutine in which a handshake
// was made more. When the client speaks again, net/http is given it as a new one.
//
// Its methods are called by one goroutine of net/http at a time, but for Close, and
// for the look of Read.
type kept struct {
	*tls.Conn
	gate   *gate
	fields framing.Fields

	looked bool // the last read was a look
	begins bool // first is to be read yet
	first  byte

	whole bool // what was read last ends as a request without a body does
	waits bool // net/http waits for the next request

	readBy, writeBy time.Time // as net/http wants it; zero is never
	readAt, writeAt time.Time // as the connection has it; readAt is not later than it has to be

	state atomic.Int32 // see below
}

// A kept is in the hands of net/http until Read says that it is at its end, and at
// rest once net/http has closed it.
const (
	inUse int32 = iota
	leaving
	resting
)

const (
	// restAfter is how long a connection waits in the hands of net/http. To give it
	// away and take it back costs as much as some requests do.
	restAfter = time.Second

	// writeSlack is how much earlier than wanted a write may time out, so that not
	// each answer sets a timer.
	writeSlack = time.Second
)

// SetDeadline implements net.Conn.
func (k *kept) SetDeadline(t time.Time) error { k.readBy, k.writeBy = t, t; return nil }

// SetReadDeadline implements net.Conn. It takes effect with the next Read: net/http
// sets it several times a request, and reads once.
func (k *kept) SetReadDeadline(t time.Time) error { k.readBy = t; return nil }

// SetWriteDeadline implements net.Conn. It takes effect with the next Write.
func (k *kept) SetWriteDeadline(t time.Time) error { k.writeBy = t; return nil }

// Write implements net.Conn.
func (k *kept) Write(b []byte) (int, error) {
	if early := k.writeBy.Sub(k.writeAt); early < 0 || early > writeSlack {
		k.writeAt = k.writeBy
		if err := k.Conn.SetWriteDeadline(k.writeBy); err != nil {
			return 0, err
		}
	}
	return k.Conn.Write(b)
}

// Read implements net.Conn.
func (k *kept) Read(b []byte) (int, error) {
	// While a request is answered, net/http looks for the end of the connection, by
	// reading one byte in a goroutine of its own that it has to stop then. Our
	// answers take less time than that, so it sees nothing. Where it really wants
	// one byte, it asks again at once.
	if len(b) == 1 && !k.looked {
		k.looked = true
		return 0, nil
	}
	k.looked = false
	if k.begins {
		k.begins, b[0] = false, k.first
		return 1, nil
	}
	for {
		by, rests := k.readBy, false
		// What is left of the last read is an empty line at most, which may be
		// dropped in front of a request (RFC 9112, section 2.2).
		idle, rest := k.gate.listener.server.IdleTimeout, k.gate.listener.owner.rest
		if k.waits && k.whole && idle > rest {
			by, rests = by.Add(rest-idle), true
		}
		// A timer that is early is left where it is: it is set anew when it has
		// run out, which is less often than there are requests.
		if k.readAt.IsZero() || !by.IsZero() && by.Before(k.readAt) {
			k.readAt = by
			if err := k.Conn.SetReadDeadline(by); err != nil {
				return 0, err
			}
		}
		n, err := k.fields.Read(k.Conn, b)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			switch {
			case by.IsZero() || time.Now().Before(by):
				k.readAt = time.Time{}
				continue
			case rests:
				k.state.Store(leaving)
				return 0, io.EOF
			}
		}
		if n > 0 {
			k.waits, k.whole = false, bytes.HasSuffix(b[:n], []byte("\r\n\r\n"))
		}
		return n, err
	}
}

// Close implements net.Conn. One that is leaving goes to rest.
func (k *kept) Close() error {
	if k.state.CompareAndSwap(leaving, resting) && k.gate.rest(k) {
		return nil
	}
	return k.Conn.Close()
}

// rest has a connection wait for its client apart from net/http. It reports false
// where the gate is closed.
func (g *gate) rest(k *kept) bool {
	return g.listener.resting.add(k.Conn, func() { g.carried.Go(func() { g.awake(k) }) })
}

// awake is await, which it survives.
func (g *gate) awake(k *kept) {
	if g.listener.owner.metrics.panics.Do(func() { g.await(k) }) {
		g.listener.resting.remove(k.Conn)
		g.listener.open.forget(k.Conn)
		_ = k.Conn.Close()
	}
}

// await waits until the client of k sends something, and gives the connection to
// net/http anew.
func (g *gate) await(k *kept) {
	next := &kept{Conn: k.Conn, gate: g, readAt: k.readBy, writeAt: k.writeAt, begins: true}
	first := make([]byte, 1)
	err := next.Conn.SetReadDeadline(next.readAt)
	if err == nil {
		_, err = next.fields.Read(next.Conn, first)
	}
	next.first = first[0]
	g.listener.resting.remove(next.Conn)
	if err != nil || !g.give(accepted{conn: next}) {
		g.listener.open.forget(next.Conn)
		_ = next.Conn.Close() // nobody is waiting for the answer to anything
	}
}

// A rest holds the connections that are at rest.
type rest struct {
	mu     sync.Mutex
	conns  map[*tls.Conn]struct{} // guarded by mu
	closed bool                   // guarded by mu
}

// add notes conn and begins its rest. It reports false where r is closed.
func (r *rest) add(conn *tls.Conn, begin func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	if r.conns == nil {
		r.conns = map[*tls.Conn]struct{}{}
	}
	r.conns[conn] = struct{}{}
	begin()
	return true
}

func (r *rest) remove(conn *tls.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, conn)
}

// close cuts what is at rest. Nothing comes to rest after it.
func (r *rest) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for conn := range r.conns {
		_ = conn.NetConn().Close() // whoever has it finds out
	}
}
