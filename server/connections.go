package server

import (
	"context"
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
	badHeader   = "proxy_header"
)

// connections counts the open connections of a listener and closes those that are
// too many, before the handshake. Its state method is a ConnState of net/http.
type connections struct {
	total, perAddress int
	trusted           peer.Trusted        // proxies, which stand for many clients
	refused           func(reason string) // told of each; must not block

	mu    sync.Mutex
	open  map[net.Conn]connection // guarded by mu; by the connection under all wrappers
	from  map[netip.Prefix]int    // guarded by mu
	fresh int                     // guarded by mu; how many were never served
	quiet chan struct{}           // guarded by mu; closed when fresh is 0; nil: nobody waits
}

// A connection is one that is open.
type connection struct {
	client netip.Prefix // the zero Prefix is not counted
	fresh  bool         // its first request has not been answered
}

// under returns the connection that came from the network, beneath TLS and
// whatever else was put around it.
func under(conn net.Conn) net.Conn {
	for {
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = wrapper.NetConn()
	}
}

func newConnections(l limits, trusted peer.Trusted, refused func(reason string)) *connections {
	return &connections{
		total: l.connections, perAddress: l.perAddress, trusted: trusted, refused: refused,
		open: map[net.Conn]connection{}, from: map[netip.Prefix]int{},
	}
}

// state implements http.Server.ConnState.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !c.allow(conn) {
			_ = conn.Close() // the client finds out by itself
		}
	case http.StateIdle:
		c.served(conn)
	case http.StateClosed:
		c.forget(conn)
	case http.StateHijacked:
		c.served(conn)
		// It is forgotten by whoever hijacked it, for a websocket.
	}
}

// allow counts conn, or says that it is one too many and tells why.
func (c *connections) allow(conn net.Conn) bool {
	reason := c.admit(conn)
	if reason != "" {
		c.refused(reason)
	}
	return reason == ""
}

// admit counts conn, or returns why it is one too many. One that is counted
// already stays so.
func (c *connections) admit(conn net.Conn) (reason string) {
	client, base := c.client(conn.RemoteAddr()), under(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, admitted := c.open[base]; admitted {
		return ""
	}
	switch {
	case len(c.open) >= c.total:
		return overTotal
	case client.IsValid() && c.from[client] >= c.perAddress:
		return overAddress
	}
	c.open[base] = connection{client: client, fresh: true}
	c.fresh++
	if client.IsValid() {
		c.from[client]++
	}
	return ""
}

// served notes that a request of conn was answered.
func (c *connections) served(conn net.Conn) {
	base := under(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if one, admitted := c.open[base]; admitted && one.fresh {
		c.ripe()
		one.fresh = false
		c.open[base] = one
	}
}

// ripe counts one fresh connection less; mu is held.
func (c *connections) ripe() {
	if c.fresh--; c.fresh == 0 && c.quiet != nil {
		close(c.quiet)
		c.quiet = nil
	}
}

// settle returns when every connection has been served once, or ctx is done.
func (c *connections) settle(ctx context.Context) {
	c.mu.Lock()
	if c.fresh == 0 {
		c.mu.Unlock()
		return
	}
	if c.quiet == nil {
		c.quiet = make(chan struct{})
	}
	quiet := c.quiet
	c.mu.Unlock()
	select {
	case <-quiet:
	case <-ctx.Done():
	}
}

func (c *connections) forget(conn net.Conn) {
	base := under(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	one, admitted := c.open[base]
	if !admitted {
		return
	}
	delete(c.open, base)
	c.release(one.client)
	if one.fresh {
		c.ripe()
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

// closeAll closes every connection, and leaves it counted.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close() // whoever has it finds out
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
