package server

import (
	"io"
	"net"
	"sync/atomic"
)

// A held is a connection from the network that is, or is about to be, counted. It
// lies beneath TLS and whatever else is put around it, and says what it is doing
// without a lock.
type held struct {
	net.Conn

	fresh  atomic.Bool  // nothing was answered on it yet
	active atomic.Bool  // a request is being answered; else its client is waited for
	since  atomic.Int64 // when that began, by the clock of connections
	turn   atomic.Pointer[line]
	by     atomic.Pointer[connections] // which count it; nil: none do

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

// Read implements net.Conn. Who waits for a client has no turn meanwhile.
func (h *held) Read(b []byte) (int, error) {
	h.leave()
	return h.Conn.Read(b)
}

// Write implements net.Conn. What is written was worked out.
func (h *held) Write(b []byte) (int, error) {
	h.leave()
	return h.Conn.Write(b)
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
