package server

import (
	"net"
	"net/netip"
	"time"

	"wellkey/server/peer"
)

// A visitor is who connections are counted for: an address, or an IPv6 customer.
// It is guarded by the mu of its connections.
type visitor struct {
	prefix netip.Prefix
	open   int   // connections, and requests that came through a proxy
	paid   int64 // until when the connections it made are paid for; see pace
}

// A pace is how fast one client may open connections: so many at once, and then one
// an interval. Zero is any.
//
// It is the generic cell rate algorithm: each connection costs an interval, and
// nobody may owe more than the burst. So a client is one number, and forgotten
// when nothing is owed.
type pace struct {
	interval time.Duration
	burst    int
}

// perSecond returns the pace of so many connections a second, and of those of five
// seconds at once; 0 is any.
func perSecond(rate int) pace {
	if rate <= 0 {
		return pace{}
	}
	return pace{interval: time.Second / time.Duration(rate), burst: 5 * rate}
}

// pay notes one more connection of one at the time now, or reports that it is too
// early for it.
func (p pace) pay(one *visitor, now int64) bool {
	from := max(one.paid, now)
	if from-now > int64(p.interval)*int64(p.burst-1) {
		return false
	}
	one.paid = from + int64(p.interval)
	return true
}

// visitorsKept is how many visitors are noted before those are looked for that may
// be forgotten.
const visitorsKept = 1024

// of returns the visitor of prefix, nil for the zero Prefix; mu is held. One that was
// not known is so only after enlist.
func (c *connections) of(prefix netip.Prefix) *visitor {
	if !prefix.IsValid() {
		return nil
	}
	if one := c.from[prefix]; one != nil {
		return one
	}
	return &visitor{prefix: prefix}
}

// enlist counts one once more; mu is held.
func (c *connections) enlist(one *visitor, now int64) {
	if one.open++; one.open == 1 {
		c.sweep(now)
		c.from[one.prefix] = one
	}
}

// release counts one once less; mu is held.
func (c *connections) release(one *visitor, now int64) {
	if one == nil {
		return
	}
	if one.open--; one.open == 0 && one.paid <= now {
		delete(c.from, one.prefix)
	}
}

// sweep forgets visitors that have nothing open and owe nothing; mu is held. Each
// that stays has a connection or made one a short while ago, so there cannot be
// many more than connections.
func (c *connections) sweep(now int64) {
	if len(c.from) < c.sweepAt {
		return
	}
	for prefix, one := range c.from {
		if one.open == 0 && one.paid <= now {
			delete(c.from, prefix)
		}
	}
	c.sweepAt = max(visitorsKept, 2*len(c.from))
}

// client returns what counts as one client at the other end of a connection; the
// zero Prefix for what stands for many, as trusted proxies do.
func (c *connections) client(addr net.Addr) netip.Prefix {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr()
	if c.trusted.Contains(ip) {
		return netip.Prefix{}
	}
	return peer.Client(ip)
}
