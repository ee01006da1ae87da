package admin_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	"wellkey/internal/admin"
)

// A from is a connection from an address, which knows whether it was closed.
type from struct {
	net.Conn
	addr   string
	closed bool
}

func (f *from) RemoteAddr() net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", f.addr+":1")
	return addr
}

func (f *from) Close() error { f.closed = true; return nil }

// Who has most connections loses the one that waits longest, and nobody loses one on
// which something is answered.
func TestPlaces(t *testing.T) {
	t.Parallel()
	var now time.Time
	state := admin.Places(4, func() time.Time { now = now.Add(time.Second); return now })
	open := func(addr string) *from {
		conn := &from{addr: addr}
		state(conn, http.StateNew)
		return conn
	}
	scraper, first, second, third := open("192.0.2.1"), open("[2001:db8::1]"), open("[2001:db8::2]"), open("[2001:db8::3]")
	state(first, http.StateActive)
	want := func(why string, closed ...*from) {
		t.Helper()
		all := map[*from]bool{}
		for _, one := range closed {
			all[one] = true
		}
		for n, one := range []*from{scraper, first, second, third} {
			if one.closed != all[one] {
				t.Errorf("%s: number %d is closed is %v", why, n, one.closed)
			}
		}
	}
	want("four are not too many")
	fourth := open("192.0.2.2")
	want("the one of many that waits longest", second)
	fifth := open("192.0.2.3")
	want("the other of many that waits", second, third)
	sixth := open("192.0.2.4")
	want("of clients with one each the one that waits longest", second, third, scraper)
	for _, one := range []*from{fourth, fifth, sixth} {
		state(one, http.StateActive)
	}
	if open("192.0.2.5"); first.closed || fourth.closed {
		t.Error("who is being answered lost a place")
	}
	if late := open("192.0.2.6"); !late.closed {
		t.Error("where everybody is being answered a newcomer is held")
	}
	state(first, http.StateIdle)
	if open("192.0.2.7"); !first.closed {
		t.Error("who has been answered keeps the place")
	}
	state(fourth, http.StateClosed)
	if late := open("192.0.2.8"); late.closed {
		t.Error("the place of one that has gone is not free")
	}
}

// Over TLS nothing is said before the end: that may take as long as the client wants.
func TestPlacesOverTLS(t *testing.T) {
	t.Parallel()
	state := admin.Places(1, time.Now)
	conn := &from{addr: "192.0.2.1"}
	state(tls.Server(conn, &tls.Config{}), http.StateNew)
	if state(&from{addr: "192.0.2.2"}, http.StateNew); !conn.closed {
		t.Error("it is open")
	}
}
