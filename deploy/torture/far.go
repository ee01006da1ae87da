package main

import (
	"net"
	"sync/atomic"
	"time"
)

// A far is a connection of a client who is a round trip away. What it sends after it has
// heard something comes that much later, since what it heard took half of that time, and
// what it says to that takes the other half. The first words of a client arrive with the
// end of the handshake of TCP, so they are not late.
type far struct {
	net.Conn
	trip  time.Duration
	heard atomic.Bool
}

// Read implements net.Conn.
func (f *far) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if n > 0 {
		f.heard.Store(true)
	}
	return n, err
}

// Write implements net.Conn.
func (f *far) Write(b []byte) (int, error) {
	if f.heard.Swap(false) {
		time.Sleep(f.trip)
	}
	return f.Conn.Write(b)
}
