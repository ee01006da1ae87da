package server

import (
	"crypto/tls"
	"errors"
	"slices"
	"time"
)

// Protocols of HTTP, as ALPN names them (RFC 7301, section 6; RFC 9113, section 3.2).
const (
	alpnHTTP1 = "http/1.1"
	alpnHTTP2 = "h2"
)

// errMultiplexed ends a handshake with a client that speaks nothing but HTTP/2.
var errMultiplexed = errors.New("too many clients speak HTTP/2, and this one speaks nothing else")

// leastMultiplexed is how long a client of HTTP/2 has been waited for, at the least, when
// it loses its place to another. Nearly all clients speak HTTP/1 as well, so many that do
// not are a flood.
const leastMultiplexed = time.Second

// multiplexed returns over how many connections HTTP/2 may be spoken. Each costs three
// times as much memory as one of HTTP/1, and its client may ask for dozens of things at
// once; applications are meant for that.
func (l limits) multiplexed() int {
	if !l.alone {
		return l.connections
	}
	return max(l.connections/4, 1)
}

// multiplexes reports whether the client of hello may choose HTTP/2. Where there are
// enough who did, clients that speak HTTP/1 as well do that; who does not has the place of
// another, or gets errMultiplexed.
func (c *connections) multiplexes(hello *tls.ClientHelloInfo) (bool, error) {
	h := heldOf(hello.Conn)
	if h == nil || !slices.Contains(hello.SupportedProtos, alpnHTTP2) {
		return true, nil
	}
	only := !slices.Contains(hello.SupportedProtos, alpnHTTP1)
	ok := c.multiplex(h, only, c.now())
	if !ok && only {
		return false, errMultiplexed
	}
	return ok, nil
}

// multiplex counts h as one over which HTTP/2 is spoken, unless there are enough. One that
// has to speak it may have the place of another.
func (c *connections) multiplex(h *held, only bool, now int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.by.Load() != c {
		return false // it has lost its place itself
	}
	if c.multiple >= c.mostMultiplexed {
		if !only {
			return false
		}
		loser := c.longest(now, leastMultiplexed, true)
		if loser == nil {
			return false
		}
		c.evict(loser, loser.lost(), now)
	}
	h.multiple = true
	c.multiple++
	return true
}
