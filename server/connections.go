package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"wellkey/internal/contain"
	"wellkey/server/peer"
)

// The reasons why a connection is closed before it is served.
const (
	overTotal   = "total"
	overAddress = "address"
	overRate    = "rate"
	badHeader   = "proxy_header"
)

// connections counts the open connections of a listener and closes those that are
// too many, before the handshake. Its state method is a ConnState of net/http.
type connections struct {
	total, perAddress int
	headerBytes       int // of a request
	mostTalk          int // see mostIdleTalk
	pace              pace
	trusted           peer.Trusted        // proxies, which stand for many clients
	refused           func(reason string) // told of each; must not block
	displaced         func(what string)   // the same
	began             time.Time
	crowd             int          // see crowd
	mostMultiplexed   int          // over how many HTTP/2 may be spoken
	unread            atomic.Int64 // see mostUnread
	tiring            atomic.Int64 // how many are let wait by tire
	size              atomic.Int64 // of open
	relieved          atomic.Int64 // when relieve last looked
	crowded           atomic.Bool  // what it saw
	others            func() int   // how many goroutines are those of connections elsewhere; nil: none

	mu       sync.Mutex
	open     []*held                   // guarded by mu
	hand     int                       // guarded by mu; where longest looked last
	from     map[netip.Prefix]*visitor // guarded by mu
	sweepAt  int                       // guarded by mu; how many visitors are too many
	fresh    int                       // guarded by mu; how many were never served
	multiple int                       // guarded by mu; over how many HTTP/2 is spoken
	quiet    chan struct{}             // guarded by mu; closed when fresh is 0; nil: nobody waits
}

func newConnections(l limits, trusted peer.Trusted, refused, displaced func(string)) *connections {
	talk := mostIdleTalk
	if !l.alone {
		talk += talk / 2
	}
	return &connections{
		mostTalk: talk,
		total:    l.connections, perAddress: l.perAddress, headerBytes: l.headerBytes, pace: l.pace, trusted: trusted,
		refused: refused, displaced: displaced, began: time.Now(),
		from: map[netip.Prefix]*visitor{}, sweepAt: visitorsKept, crowd: crowd(l.connections), mostMultiplexed: l.multiplexed(),
	}
}

// now returns the time since c began, by the clock that never jumps.
func (c *connections) now() int64 { return int64(time.Since(c.began)) }

// state implements http.Server.ConnState.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	h := heldOf(conn)
	if h == nil {
		return
	}
	switch state {
	case http.StateActive:
		h.since.Store(c.now())
		h.active.Store(true)
	case http.StateIdle:
		h.inCrowd.Store(0)
		h.answered.Store(h.asked.Load())
		c.served(h)
	case http.StateClosed:
		c.forget(h)
	case http.StateHijacked:
		c.served(h)
		h.active.Store(true)
		// It is forgotten by whoever hijacked it, for a websocket.
	}
}

// allow counts what is held beneath conn, or says that it is one too many and
// tells why.
func (c *connections) allow(conn net.Conn) bool {
	reason := c.admit(heldOf(conn), c.client(conn.RemoteAddr()), c.now())
	if reason != "" {
		c.refused(reason)
	}
	return reason == ""
}

// take is allow for a loop that accepts, which goes on if it panics.
func (c *connections) take(h *held, panics *contain.Part) (allowed bool) {
	if panics.Do(func() { allowed = c.allow(h) }) {
		c.forget(h)
		return false
	}
	return allowed
}

// admit counts h as a connection of from, or returns why it is one too many. It may
// have the place of another.
func (c *connections) admit(h *held, from netip.Prefix, now int64) (reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(from)
	if one != nil && one.open >= c.perAddress {
		return overAddress
	}
	var loser *held
	if len(c.open) >= c.total {
		if loser = c.longest(now, leastWait, false); loser == nil {
			return overTotal
		}
	}
	if one != nil && c.pace.burst > 0 && !c.pace.pay(one, now) {
		return overRate
	}
	if one != nil {
		c.enlist(one, now)
	}
	if loser != nil {
		c.evict(loser, loser.lost(), now)
	}
	h.fresh.Store(true)
	h.active.Store(false)
	h.since.Store(now)
	h.by.Store(c)
	h.place, h.of = len(c.open), one
	c.open = append(c.open, h)
	c.size.Store(int64(len(c.open)))
	c.fresh++
	return ""
}

// advance notes that a handshake over conn has begun, or is done: then its client is waited
// for anew. That is twice for each connection, so nobody gains more.
func (c *connections) advance(conn net.Conn) {
	if h := heldOf(conn); h != nil {
		h.since.Store(c.now())
		h.greeted.Store(true)
	}
}

// served notes that a request of h was answered.
func (c *connections) served(h *held) {
	h.since.Store(c.now())
	h.active.Store(false)
	if h.fresh.Load() && h.fresh.Swap(false) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ripe()
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

// forget counts what is held beneath conn no more.
func (c *connections) forget(conn net.Conn) {
	if h := heldOf(conn); h != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.drop(h, c.now())
	}
}

// drop counts h no more; mu is held.
func (c *connections) drop(h *held, now int64) {
	if h.by.Load() != c {
		return
	}
	last := len(c.open) - 1
	moved := c.open[last]
	c.open[h.place], moved.place = moved, h.place
	c.open[last] = nil
	c.open = c.open[:last]
	c.size.Store(int64(last))
	c.release(h.of, now)
	h.by.Store(nil)
	h.of = nil
	if h.multiple {
		h.multiple = false
		c.multiple--
	}
	if h.fresh.Swap(false) {
		c.ripe()
	}
}

// enter counts a request that came through a trusted proxy as if its client had
// opened a connection for it. It is not ok where that is one too many; else leave
// must be called.
func (c *connections) enter(from peer.Origin) (leave func(), ok bool) {
	client := from.Who()
	if !from.Trusted || !client.IsValid() {
		return func() {}, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.of(client)
	if one.open >= c.perAddress {
		return nil, false
	}
	c.enlist(one, c.now())
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.release(one, c.now())
	}, true
}

// closeAll closes every connection, and leaves it counted.
func (c *connections) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.open {
		_ = h.Conn.Close() // whoever has it finds out
	}
}

func (c *connections) count() int { return int(c.size.Load()) }
