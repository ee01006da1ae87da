package server_test

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"wellkey/server"
)

// However few connections are held, what the process does for itself is no crowd.
func TestCrowdOfFew(t *testing.T) {
	for connections, want := range map[int]int{1: 128, 50: 128, 170: 128, 341: 210, 1024: 640} {
		if got := server.CrowdOf(connections); got != want {
			t.Errorf("%d connections: got %d, want %d", connections, got, want)
		}
	}
}

// Connections that lie on the HTTP listener make no crowd on the HTTPS listener.
func TestNoCrowdOnTheOtherPort(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	s.Crowd(50)
	const idle, asked = 100, 8
	for range idle {
		conn, err := net.Dial("tcp", s.HTTPAddr())
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	await(t, "that they are held", func() bool {
		return series(t, registryOf(config))[`wellkey_connections{listener=http}`] == idle
	})
	f := frame(t, s, certs, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}) // no answer gets to its end
	for n := range uint32(asked) {
		must(t, f.ask(2*n+1))
	}
	for answered := 0; answered < asked; {
		got, err := f.ReadFrame()
		must(t, err)
		switch got.(type) {
		case *http2.HeadersFrame:
			answered++
		case *http2.RSTStreamFrame:
			t.Fatalf("a request was turned away after %d answers", answered)
		}
	}
}

// In a crowd the connection goes that has been answered for longest; what may stand for
// many goes last, and one that is idle or of HTTP/1 stays.
func TestWhoGoesInACrowd(t *testing.T) {
	c := server.NewConnections(32, 32, 0)
	gone := 0
	c.OnDisplaced(func(string) { gone++ })
	hold := func(address string, state http.ConnState, since time.Duration) net.Conn {
		conn := &closing{stub: from(address)}
		if reason := c.Admit(conn, 0); reason != "" {
			t.Fatalf("refused: %s", reason)
		}
		c.Many(conn, address != "192.0.2.99")
		c.Set(conn, state, since)
		return conn
	}
	want := map[net.Conn]bool{}
	proxy := hold("10.0.0.1", http.StateActive, 1)
	idle, plain, late := hold("192.0.2.98", http.StateIdle, 1), hold("192.0.2.99", http.StateActive, 1), hold("192.0.2.97", http.StateActive, 100)
	for n := range 8 {
		want[hold(fmt.Sprintf("192.0.2.%d", n+1), http.StateActive, time.Duration(n+2))] = true
	}
	if !c.Relieve() || gone != 8 {
		t.Fatalf("%d are displaced, want 8", gone)
	}
	for conn := range want {
		if !conn.(*closing).closed {
			t.Errorf("%v stays", conn.RemoteAddr())
		}
	}
	for _, conn := range []net.Conn{proxy, idle, plain, late} {
		if conn.(*closing).closed {
			t.Errorf("%v goes", conn.RemoteAddr())
		}
	}
}

// A closing is a stub that tells whether it was closed.
type closing struct {
	*stub
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }
