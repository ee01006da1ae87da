package server

import (
	"net"
	"net/http"
	"net/netip"
	"sync"

	"wellkey/server/peer"
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
	trusted           peer.Trusted        // proxies, which stand for many clients
	refused           func(reason string) // told of each; must not block

	mu   sync.Mutex
	open map[net.Conn]netip.Prefix // guarded by mu; the zero Prefix is not counted
	from map[netip.Prefix]int      // guarded by mu
}

func newConnections(l limits, trusted peer.Trusted, refused func(reason string)) *connections {
	return &connections{
		total: l.connections, perAddress: l.perAddress, trusted: trusted, refused: refused,
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
	case http.StateClosed:
		c.forget(conn)
		// One that was hijacked, for a websocket, is forgotten by whoever did it.
	}
}

// admit counts conn, or returns why it is one too many.
func (c *connections) admit(conn net.Conn) (reason string) {
	client := c.client(conn.RemoteAddr())
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
	if admitted {
		delete(c.open, conn)
		c.release(client)
	}
}

// enter counts a request that came through a trusted proxy as if its client had
// opened a connection for it. It is not ok where that is one too many; else leave
// must be called.
func (c *connections) enter(from peer.Origin) (leave func(), ok bool) {
	client := clientPrefix(from.Client)
	if !from.Trusted || !client.IsValid() || c.trusted.Contains(from.Client) {
		return func() {}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.from[client] >= c.perAddress {
		return nil, false
	}
	c.from[client]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.release(client)
	}, true
}

// release counts client once less; mu is held.
func (c *connections) release(client netip.Prefix) {
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

// client returns what counts as one client at the other end of a connection; the
// zero Prefix for what stands for many, as trusted proxies do.
func (c *connections) client(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || c.trusted.Contains(tcp.AddrPort().Addr()) {
		return netip.Prefix{}
	}
	return clientPrefix(tcp.AddrPort().Addr())
}

// clientPrefix returns what counts as one client: an IPv4 address, or the /64
// that an IPv6 customer has. It is the zero Prefix for addresses that are not
// public: behind those stand a proxy, or the address translation of a container
// engine, with everybody behind them.
func clientPrefix(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
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
