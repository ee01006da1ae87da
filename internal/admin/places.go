package admin

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"wellkey/internal/customer"
)

// mostConnections is how many connections are held. Scrapers, probes and a browser have
// a dozen; each may have 16 kB of a header, and takes a file that certificates and
// storage may want, of which few are left to us where there are few (see server.divide).
const mostConnections = 32

// places count the connections and close those that are too many. state is a ConnState
// of net/http.
type places struct {
	most int
	now  func() time.Time

	mu   sync.Mutex
	open map[net.Conn]*place // guarded by mu
}

// A place is what is known of one connection.
type place struct {
	from   netip.Prefix
	active bool      // it is being answered
	since  time.Time // when that began or ended
}

func newPlaces(most int, now func() time.Time) *places {
	return &places{most: most, now: now, open: map[net.Conn]*place{}}
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

// admit gives conn a place; mu is held. Where there is none it has that of a connection
// on which nothing is answered, of the address with the most of them, and there of the
// one that waits longest. So who floods takes places from nobody else.
func (p *places) admit(conn net.Conn) {
	newcomer := &place{from: customerOf(conn), since: p.now()}
	if len(p.open) >= p.most {
		of := map[netip.Prefix]int{newcomer.from: 1}
		for _, one := range p.open {
			of[one.from]++
		}
		loser, lost := conn, newcomer
		for other, one := range p.open {
			if !one.active && (of[one.from] > of[lost.from] || of[one.from] == of[lost.from] && one.since.Before(lost.since)) {
				loser, lost = other, one
			}
		}
		cut(loser)
		if loser == conn {
			return
		}
		delete(p.open, loser)
	}
	p.open[conn] = newcomer
}

// cut closes conn, without a last word over TLS, which may take long.
func cut(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	_ = conn.Close() // whoever has it finds out
}

// customerOf returns who is at the other end.
func customerOf(conn net.Conn) netip.Prefix {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return customer.Of(tcp.AddrPort().Addr())
}
