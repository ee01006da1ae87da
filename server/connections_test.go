package server_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"wellkey/server"
)

// stub is a connection from an address.
type stub struct {
	net.Conn
	from net.Addr
}

func (s *stub) RemoteAddr() net.Addr { return s.from }

func (s *stub) Close() error { return nil }

func from(address string) *stub {
	return &stub{from: &net.TCPAddr{IP: net.ParseIP(address), Port: 4711}}
}

func TestConnectionsOfOneAddress(t *testing.T) {
	for _, tc := range []struct {
		name, first, second string
		want                string // of the third connection, after two from first and second
	}{
		{"one IPv4 address", "192.0.2.1", "192.0.2.1", "address"},
		{"two IPv4 addresses", "192.0.2.2", "192.0.2.1", ""},
		{"one IPv4 address, mapped", "::ffff:192.0.2.1", "192.0.2.1", "address"},
		{"one IPv6 customer", "2001:db8::1", "2001:db8::2:0:0:1", "address"},
		{"two IPv6 customers", "2001:db8:0:1::1", "2001:db8::1", ""},
		{"a proxy beside us", "127.0.0.1", "127.0.0.1", ""},
		{"the address translation of a container engine", "172.17.0.1", "172.17.0.1", ""},
		{"a private IPv6 network", "fd00::1", "fd00::1", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := server.NewConnections(10, 2, 0)
			a, b := from(tc.first), from(tc.second)
			for _, conn := range []net.Conn{a, b} {
				if got := c.Admit(conn, 0); got != "" {
					t.Fatalf("refused: %s", got)
				}
			}
			third := from(tc.second)
			if got := c.Admit(third, 0); got != tc.want {
				t.Errorf("the third connection: %q, want %q", got, tc.want)
			}
			c.Forget(a)
			c.Forget(a) // told twice
			if got := c.Admit(from(tc.second), 0); got != "" && tc.first == tc.second {
				t.Errorf("refused although one has gone: %s", got)
			}
		})
	}
}

func TestConnectionsInTotal(t *testing.T) {
	c := server.NewConnections(2, 2, 0)
	a := from("192.0.2.1")
	for _, conn := range []*stub{a, from("192.0.2.2")} {
		if got := c.Admit(conn, 0); got != "" {
			t.Fatalf("refused below the limit: %s", got)
		}
	}
	over := from("192.0.2.3")
	if got := c.Admit(over, 0); got != "total" {
		t.Errorf("got %q, want total", got)
	}
	c.Forget(over) // it was never counted
	c.Forget(a)
	if conns, clients := c.Held(); conns != 1 || clients != 1 {
		t.Errorf("%d connections of %d clients are counted, want 1 of 1", conns, clients)
	}
}

// One address opens so many connections a second, after a burst; others do not
// notice. Private ones may be many clients.
func TestConnectionsOfOneAddressASecond(t *testing.T) {
	c := server.NewConnections(1000, 1000, 10)
	try := func(address string, at time.Duration) string {
		conn := from(address)
		got := c.Admit(conn, at)
		c.Forget(conn)
		return got
	}
	for n := range 50 {
		if got := try("192.0.2.1", 0); got != "" {
			t.Fatalf("connection %d of a burst: %s", n, got)
		}
	}
	for _, tc := range []struct {
		address string
		at      time.Duration
		want    string
	}{
		{"192.0.2.1", 0, "rate"}, {"192.0.2.2", 0, ""}, {"192.0.2.1", 99 * time.Millisecond, "rate"}, {"192.0.2.1", 100 * time.Millisecond, ""},
		{"192.0.2.1", 100 * time.Millisecond, "rate"}, {"192.0.2.1", time.Second, ""},
	} {
		if got := try(tc.address, tc.at); got != tc.want {
			t.Errorf("%s at %v: got %q, want %q", tc.address, tc.at, got, tc.want)
		}
	}
	for range 100 {
		if try("127.0.0.1", 0) != "" || try("198.51.100.1", 0) != "" {
			t.Fatal("what stands for many clients is limited as one")
		}
	}
}

// Visitors that have gone and owe nothing are forgotten, however many there were.
func TestVisitorsAreForgotten(t *testing.T) {
	c := server.NewConnections(10, 10, 10)
	for n := range 100_000 {
		conn := from(fmt.Sprintf("11.%d.%d.%d", n>>16, n>>8&255, n&255))
		if got := c.Admit(conn, time.Duration(n)*time.Millisecond); got != "" {
			t.Fatal(got)
		}
		c.Forget(conn)
	}
	if _, clients := c.Held(); clients > 1200 { // those of a second, and what waits to be swept
		t.Errorf("%d clients are kept", clients)
	}
}

// A newcomer to a full listener takes the place of whoever lets it wait longest.
func TestDisplaced(t *testing.T) {
	const (
		s, ms   = time.Second, time.Millisecond
		greeted = http.ConnState(-1) // a ClientHello came, and nothing else
	)
	type one struct {
		address string
		state   http.ConnState
		since   time.Duration
	}
	for name, tc := range map[string]struct {
		open []one
		at   time.Duration
		want int // which of open loses its place; -1: nobody
		what string
	}{
		"the oldest that says nothing":      {[]one{{"192.0.2.1", http.StateNew, 2 * s}, {"192.0.2.2", http.StateNew, 1 * s}, {"192.0.2.3", http.StateNew, 3 * s}}, 4 * s, 1, "unserved"},
		"the oldest that rests":             {[]one{{"192.0.2.1", http.StateIdle, 1 * s}, {"192.0.2.2", http.StateNew, 2 * s}}, 4 * s, 0, "idle"},
		"one of many before an older one":   {[]one{{"192.0.2.1", http.StateIdle, 1 * s}, {"192.0.2.2", http.StateNew, 2 * s}, {"192.0.2.2", http.StateNew, 3 * s}}, 4 * s, 1, "unserved"},
		"private addresses are not counted": {[]one{{"10.0.0.1", http.StateIdle, 2 * s}, {"10.0.0.1", http.StateNew, 3 * s}, {"192.0.2.2", http.StateNew, 1 * s}}, 4 * s, 2, "unserved"},
		"one that answers goes last":        {[]one{{"192.0.2.1", http.StateActive, 1 * s}, {"192.0.2.2", http.StateIdle, 9 * s}}, 10 * s, 1, "idle"},
		"one that does not read its answer": {[]one{{"192.0.2.1", http.StateActive, 3 * s}, {"192.0.2.2", http.StateActive, 2 * s}}, 10 * s, 1, "stalled"},
		"one that comes back for more":      {[]one{{"192.0.2.1", http.StateActive, 4*s - 201*ms}, {"192.0.2.2", http.StateActive, 4*s - 199*ms}}, 4 * s, 0, "stalled"},
		"all have just come":                {[]one{{"192.0.2.1", http.StateNew, 4*s - 50*time.Millisecond}, {"192.0.2.2", http.StateNew, 4 * s}}, 4 * s, -1, ""},
		"two of one client have just come":  {[]one{{"192.0.2.2", http.StateNew, 4*s - 80*time.Millisecond}, {"192.0.2.2", http.StateNew, 4*s - 90*time.Millisecond}}, 4 * s, -1, ""},
		"all are being answered":            {[]one{{"192.0.2.1", http.StateActive, 4*s - 150*ms}, {"192.0.2.2", http.StateActive, 4*s - 199*ms}}, 4 * s, -1, ""},
		"one who came again takes its own":  {[]one{{"192.0.2.9", http.StateNew, 1 * s}, {"192.0.2.9", http.StateNew, 2 * s}, {"192.0.2.2", http.StateNew, 1 * s}}, 4 * s, 0, "unserved"},
		"silence before one who greeted":    {[]one{{"192.0.2.1", greeted, 4*s - 500*ms}, {"192.0.2.2", http.StateNew, 4*s - 200*ms}}, 4 * s, 1, "unserved"},
		"one who greeted, and was silent":   {[]one{{"192.0.2.1", greeted, 1 * s}, {"192.0.2.2", http.StateNew, 2 * s}}, 4 * s, 0, "unserved"},
		"one of four who greeted": {[]one{{"192.0.2.1", greeted, 4*s - 500*ms}, {"192.0.2.2", http.StateNew, 4*s - 50*ms},
			{"192.0.2.3", http.StateNew, 4*s - 50*ms}, {"192.0.2.4", http.StateActive, 4*s - 150*ms}}, 4 * s, -1, ""},
		"two of four who greeted": {[]one{{"192.0.2.1", greeted, 4*s - 500*ms}, {"192.0.2.2", greeted, 4*s - 600*ms},
			{"192.0.2.3", http.StateNew, 4*s - 50*ms}, {"192.0.2.4", http.StateActive, 4*s - 150*ms}}, 4 * s, 1, "unserved"},
		"a cap of one": {[]one{{"192.0.2.9", http.StateIdle, 1 * s}}, 4 * s, 0, "idle"},
	} {
		t.Run(name, func(t *testing.T) {
			c := server.NewConnections(len(tc.open), 10, 100)
			what := ""
			c.OnDisplaced(func(lost string) { what += lost })
			var conns []*closing
			for _, o := range tc.open {
				conn := &closing{stub: from(o.address)}
				if got := c.Admit(conn, 0); got != "" {
					t.Fatal(got)
				}
				switch o.state {
				case greeted:
					c.Advance(conn, o.since)
				case http.StateNew:
					c.Set(conn, o.state, o.since)
				default:
					c.Set(conn, http.StateActive, o.since)
					c.Set(conn, o.state, o.since)
				}
				conns = append(conns, conn)
			}
			want := ""
			if tc.want < 0 {
				want = "total"
			}
			if reason := c.Admit(from("192.0.2.9"), tc.at); reason != want || what != tc.what {
				t.Errorf("got %q, and %q displaced; want %q, and %q", reason, what, want, tc.what)
			}
			for n, conn := range conns {
				if conn.closed != (n == tc.want) {
					t.Errorf("connection %d is closed: %v", n, conn.closed)
				}
				if conn.closed {
					c.Forget(conn) // as net/http does when it finds out
				}
			}
			if open, _ := c.Held(); open != len(tc.open) {
				t.Errorf("%d are counted, want %d", open, len(tc.open))
			}
		})
	}
}

// The one that waits is found among as many as a listener holds unless it is set to hold
// more; then those who come look on where the last one stopped.
func TestLooksOn(t *testing.T) {
	if most := server.UpstreamLimits.Connections(); server.LookedInVain < most {
		t.Errorf("%d are looked at, and %d held", server.LookedInVain, most)
	}
	for turns := 1; turns <= 3; turns++ {
		c := server.NewConnections(turns*server.LookedInVain, 1, 0)
		var last *closing
		for n := range turns * server.LookedInVain {
			last = &closing{stub: from(fmt.Sprintf("11.0.%d.%d", n>>8, n&255))}
			if reason := c.Admit(last, 0); reason != "" {
				t.Fatal(reason)
			}
			c.Set(last, http.StateActive, time.Second-server.LeastWait)
		}
		c.Set(last, http.StateIdle, 0)
		for n := 1; n <= turns; n++ {
			reason := c.Admit(from(fmt.Sprintf("12.0.0.%d", n)), time.Second)
			if found := reason == ""; found != (n == turns) || found != last.closed {
				t.Errorf("of %d connections, newcomer %d: %q, and that the last one is closed is %v", turns*server.LookedInVain, n, reason, last.closed)
			}
		}
	}
}

// A listener that is full serves newcomers all the same, in the place of those that
// let it wait.
func TestFullListener(t *testing.T) {
	config, certs := configure(t)
	s := newServer(t, config)
	s.LimitHTTPS(2)
	run(t, s)
	for range 2 {
		conn, err := net.Dial("tcp", s.HTTPSAddr())
		must(t, err)
		defer func() { _ = conn.Close() }()
	}
	count := func(name string) float64 { return series(t, registryOf(config))[name] }
	await(t, "both", func() bool { return count(`wellkey_connections{listener=https}`) == 2 })
	await(t, "the key", func() bool {
		conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain})
		if err != nil {
			return false // both have just come
		}
		return conn.Close() == nil
	})
	if count(`wellkey_connections_displaced_total{listener=https,state=unserved}`) == 0 {
		t.Error("nobody lost its place")
	}
	if n := count(`wellkey_tls_handshake_errors_total{reason=other}`); n != 0 {
		t.Errorf("%v handshake errors are counted for what we closed ourselves", n)
	}
}

// Where nobody may lose its place, what is too many is closed and counted.
func TestTooManyAtOnce(t *testing.T) {
	config, certs := configure(t)
	held := hold(&config)
	defer held.release()
	s := newServer(t, config)
	s.LimitHTTPS(1)
	run(t, s)
	answered := make(chan error, 1)
	c := client(t, s.HTTPSAddr(), certs, false)
	go func() {
		response, err := c.Get("https://" + domain + server.KeyPath)
		if err == nil {
			err = response.Body.Close()
		}
		answered <- err
	}()
	<-held.entered         // its answer is under way
	s.WaitUntil(time.Hour) // however busy the machine is
	if _, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain}); err == nil {
		t.Error("a second connection was served")
	}
	if n := series(t, registryOf(config))[`wellkey_connections_rejected_total{listener=https,reason=total}`]; n != 1 {
		t.Errorf("%v rejected, want 1", n)
	}
	held.release()
	must(t, <-answered)
}
