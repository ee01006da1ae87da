package admin_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
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

// listener is the address at which they all are.
const listener = "192.0.2.254"

func (f *from) RemoteAddr() net.Addr { return addrOf(f.addr) }
func (f *from) LocalAddr() net.Addr  { return addrOf(listener) }

func addrOf(ip string) net.Addr {
	addr, _ := net.ResolveTCPAddr("tcp", ip+":1")
	return addr
}

func (f *from) Close() error { f.closed = true; return nil }

// A crowd are the connections of a listener, whose clock goes on by a second a look.
type crowd struct {
	t     *testing.T
	state func(net.Conn, http.ConnState)
	names []string
	open  map[string]*from
}

func newCrowd(t *testing.T, most, kept int) *crowd {
	var now time.Time
	return &crowd{t: t, state: admin.Places(most, kept, func() time.Time { now = now.Add(time.Second); return now }), open: map[string]*from{}}
}

// come opens a connection, and asks for something on it if it is active.
func (c *crowd) come(name, addr string, active bool) {
	conn := &from{addr: addr}
	c.names, c.open[name] = append(c.names, name), conn
	if c.state(conn, http.StateNew); active && !conn.closed {
		c.state(conn, http.StateActive)
	}
}

// want says which are closed by now, in the order in which they came.
func (c *crowd) want(why string, closed ...string) {
	c.t.Helper()
	var got []string
	for _, name := range c.names {
		if c.open[name].closed {
			got = append(got, name)
		}
	}
	if !slices.Equal(got, closed) {
		c.t.Errorf("%s: closed are %q, want %q", why, got, closed)
	}
}

// Who has most connections loses one: that which waits longest, or, where all are being
// answered, that which has been for longest.
func TestPlaces(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 4, 0)
	c.come("scraper", "192.0.2.1", true) // for longer than all others
	c.come("busy", "[2001:db8::1]", true)
	c.come("first", "[2001:db8::2]", false)
	c.come("second", "[2001:db8::3]", false)
	c.want("four are not too many")
	c.come("probe", "192.0.2.2", false)
	c.want("of many the one that waits longest", "first")
	c.state(c.open["probe"], http.StateClosed)
	c.come("third", "[2001:db8::4]", true)
	c.want("the place of one that has gone", "first")
	c.come("fourth", "[2001:db8::5]", true)
	c.want("one that waits before those that are answered", "first", "second")
	c.come("probe again", "192.0.2.2", true)
	c.want("all are answered", "busy", "first", "second")
	c.come("fifth", "[2001:db8::6]", true)
	c.want("a newcomer of many", "busy", "first", "second", "third")
	c.come("other", "192.0.2.3", false)
	c.want("many of two", "busy", "first", "second", "third", "fourth")
	c.come("last", "192.0.2.4", true)
	c.want("of one each one that waits", "busy", "first", "second", "third", "fourth", "other")
	c.come("very last", "192.0.2.5", true)
	c.want("of one each that are answered", "scraper", "busy", "first", "second", "third", "fourth", "other")
}

// One address that has all connections answered, and reads nothing, keeps out nobody, and
// cuts no scrape that takes long.
func TestPlacesOfAFlood(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, admin.MostConnections, admin.KeptPlaces)
	c.come("scrape", "192.0.2.1", true)
	flood := func() {
		for n := range 2 * admin.MostConnections {
			c.come("", "198.51.100.1", n%3 > 0) // nobody asks after one
		}
	}
	flood()
	c.come("probe", "192.0.2.2", true)
	c.come("healthcheck", "127.0.0.1", true)
	flood()
	for _, name := range []string{"scrape", "probe", "healthcheck"} {
		if c.open[name].closed {
			t.Errorf("the flood took the place of the %s", name)
		}
	}
}

// Whoever is elsewhere, and however many they are, some places are for this machine, by
// whichever of its addresses.
func TestPlacesOfThisMachine(t *testing.T) {
	t.Parallel()
	c := newCrowd(t, 4, 2)
	c.come("here", "127.0.0.1", false)
	c.come("a", "192.0.2.1", true)
	c.come("b", "192.0.2.2", true)
	c.come("c", "192.0.2.3", true)
	c.want("two of the others are held", "a")
	c.come("there", listener, true)
	c.want("the second place of this machine", "a")
	c.come("more", "127.0.0.2", true)
	c.want("this machine has the most", "here", "a")
	c.state(c.open["b"], http.StateClosed)
	c.come("even more", "[::1]", true)
	c.want("a free place is for whoever comes", "here", "a")
	c.come("d", "192.0.2.4", true)
	c.want("this machine has more than is kept for it", "here", "a", "there")
}

// Over TLS nothing is said before the end: that may take as long as the client wants.
func TestPlacesOverTLS(t *testing.T) {
	t.Parallel()
	state := admin.Places(1, 0, time.Now)
	conn := &from{addr: "192.0.2.1"}
	state(tls.Server(conn, &tls.Config{}), http.StateNew)
	if state(&from{addr: "192.0.2.2"}, http.StateNew); !conn.closed {
		t.Error("it is open")
	}
}
