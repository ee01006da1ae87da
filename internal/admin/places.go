package admin

import (
	"cmp"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"wellkey/internal/customer"
	"wellkey/internal/webconfig"
)

const (
	// mostConnections is how many connections are held. Scrapers, probes and a browser
	// have a dozen; each may have 20 kB of a header, and takes a file that certificates
	// and storage may want, of which few are left to us where there are few (see
	// server.divide). Within TLS nobody counts the fields of a header (see short): 5,000
	// of four bytes take 400 kB, so all of them 13 MB.
	mostConnections = 32
	// keptPlaces is how many of them are for this machine alone, where healthcheck is.
	keptPlaces = 4
)

// places count the connections and close those that are too many. state is a ConnState
// of net/http.
type places struct {
	most, kept int
	now        func() time.Time

	mu   sync.Mutex
	open map[net.Conn]*place // guarded by mu
}

// A place is what is known of one connection.
type place struct {
	from   netip.Prefix // the zero Prefix is this machine
	active bool         // it is being answered
	since  time.Time    // when that began or ended
}

func newPlaces(most, kept int, now func() time.Time) *places {
	return &places{most: most, kept: kept, now: now, open: map[net.Conn]*place{}}
}

// state implements http.Server.ConnState.
func (p *places) state(conn net.Conn, state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch state {
	case http.StateNew:
		p.admit(conn)
	case http.StateActive, http.StateIdle:
		if one := p.open[conn]; one != nil {
			one.active, one.since = state == http.StateActive, p.now()
		}
	case http.StateClosed, http.StateHijacked:
		delete(p.open, conn)
	}
}

// admit gives conn a place; mu is held. Where there is none it has that of another, of
// the customer with the most; there of one on which nothing is answered, if there is one,
// and of those that of the one that waits, or is answered, for longest. So who floods
// takes places from nobody else, and a newcomer always has one.
func (p *places) admit(conn net.Conn) {
	newcomer := &place{from: customerOf(conn), since: p.now()}
	here := netip.Prefix{}
	of := map[netip.Prefix]int{newcomer.from: 1}
	for _, one := range p.open {
		of[one.from]++
	}
	away := len(p.open) + 1 - of[here] // with the newcomer, if it is one of these
	beyond := newcomer.from != here && away > p.most-p.kept
	if beyond || len(p.open) >= p.most {
		var loser net.Conn
		for other, one := range p.open {
			if beyond && one.from == here {
				continue
			}
			if lost := p.open[loser]; lost == nil || cmp.Or(of[one.from]-of[lost.from], rather(one, lost)) > 0 {
				loser = other
			}
		}
		cut(loser)
		delete(p.open, loser)
	}
	p.open[conn] = newcomer
}

// rather is above 0 if, of one customer, one gives its place away before other does.
func rather(one, other *place) int {
	switch {
	case one.active == other.active:
		return other.since.Compare(one.since)
	case other.active:
		return 1
	}
	return -1
}

// cut closes conn, without a last word over TLS, which may take long.
func cut(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	_ = conn.Close() // whoever has it finds out
}

// customerOf returns who is at the other end, the zero Prefix for this machine.
func customerOf(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok || webconfig.SameHost(tcp, conn.LocalAddr()) {
		return netip.Prefix{}
	}
	return customer.Of(tcp.AddrPort().Addr())
}
