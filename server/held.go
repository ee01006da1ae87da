package server

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// A held is a connection from the network that is, or is about to be, counted. It
// lies beneath TLS and whatever else is put around it, and says what it is doing
// without a lock.
type held struct {
	net.Conn

	fresh  atomic.Bool   // nothing was answered on it yet
	active atomic.Bool   // a request is being answered; else its client is waited for
	since  atomic.Int64  // when that began, by the clock of connections
	writes atomic.Uint32 // begun and ended: odd while one is under way
	turn   atomic.Pointer[line]
	by     atomic.Pointer[connections] // which count it; nil: none do

	// These are for Read alone.
	behind uint32 // the write that was under way
	ahead  int    // what was read since then

	// These are guarded by the mu of those.
	place int      // in open
	of    *visitor // nil: it counts for nobody
}

func hold(conn net.Conn) *held { return &held{Conn: conn} }

// heldOf returns what is held beneath conn, nil if nothing is.
func heldOf(conn net.Conn) *held {
	for {
		if h, ok := conn.(*held); ok {
			return h
		}
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = wrapper.NetConn()
	}
}

// mostAhead is how many bytes a client may send while one write to it hangs. Frames
// of HTTP/2 that want an answer, such as PING, are few bytes, and net/http holds up to
// 10,000 of the answers that nobody reads, which is a megabyte for each connection.
const mostAhead = 4 << 10

// errUnread is of a client that says more and more and reads no answer.
var errUnread = errors.New("the client reads no answers")

// Read implements net.Conn. Who waits for a client has no turn meanwhile.
func (h *held) Read(b []byte) (int, error) {
	h.leave()
	n, err := h.Conn.Read(b)
	writes := h.writes.Load()
	if writes&1 == 0 {
		return n, err
	}
	if writes != h.behind {
		h.behind, h.ahead = writes, 0
	}
	h.ahead += n
	if c := h.by.Load(); h.ahead > mostAhead && c != nil && c.stalls {
		c.displaced(lostUnread)
		_ = h.Conn.Close() // whoever writes finds out
		return 0, errUnread
	}
	return n, err
}

// Write implements net.Conn. What is written was worked out.
func (h *held) Write(b []byte) (int, error) {
	h.leave()
	h.writes.Add(1)
	n, err := h.Conn.Write(b)
	h.writes.Add(1)
	return n, err
}

// Close implements net.Conn.
func (h *held) Close() error {
	h.leave()
	return h.Conn.Close()
}

// leave ends the turn of h, if it has one; see line.
func (h *held) leave() {
	if h.turn.Load() != nil {
		if l := h.turn.Swap(nil); l != nil {
			l.next()
		}
	}
}

// CloseWrite closes the way to the client alone, where that can be.
func (h *held) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// ReadFrom implements io.ReaderFrom, by the kernel where that can be.
func (h *held) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(h.Conn, r)
}
