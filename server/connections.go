package server

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// How many connections a listener holds open. An idle one costs some 35 kB in
// net/http, so all of them together stay below 40 MB, and one client alone cannot
// take them all.
const (
	maxConnections           = 1024
	maxConnectionsPerAddress = 64
)

// The reasons why a connection is closed before it is served.
const (
	overTotal   = "total"
	overAddress = "address"
)

// connections counts the open connections of a listener and closes those that are
// too many, before the handshake. Its state method is a ConnState of net/http.
type connections struct {
	total, perAddress int
	refused           func(reason string) // told of each; must not block

	mu   sync.Mutex
	open map[net.Conn]netip.Prefix // guarded by mu; the zero Prefix is not counted
	from map[netip.Prefix]int      // guarded by mu
}

func newConnections(refused func(reason string)) *connections {
	return &connections{
		total: maxConnections, perAddress: maxConnectionsPerAddress, refused: refused,
		open: map[net.Conn]netip.Prefix{}, from: map[netip.Prefix]int{},
	}
}

// state implements http.Server.ConnState.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if reason := c.admit(conn); reason != "" {
			c.refused(reason)
			_ = conn.Close() // the client finds out by itself
		}
	case http.StateClosed, http.StateHijacked:
		c.forget(conn)
	}
}

// admit counts conn, or returns why it is one too many.
func (c *connections) admit(conn net.Conn) (reason string) {
	client := clientPrefix(conn.RemoteAddr())
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.open) >= c.total:
		return overTotal
	case client.IsValid() && c.from[client] >= c.perAddress:
		return overAddress
	}
	c.open[conn] = client
	if client.IsValid() {
		c.from[client]++
	}
	return ""
}

func (c *connections) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, admitted := c.open[conn]
	if !admitted {
		return
	}
	delete(c.open, conn)
	if !client.IsValid() {
		return
	}
	if c.from[client]--; c.from[client] == 0 {
		delete(c.from, client)
	}
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// clientPrefix returns what counts as one client: an IPv4 address, or the /64
// that an IPv6 customer has. It is the zero Prefix for addresses that are not
// public: behind those stand a proxy, or the address translation of a container
// engine, with everybody behind them.
func clientPrefix(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return netip.Prefix{}
	}
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	prefix, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
