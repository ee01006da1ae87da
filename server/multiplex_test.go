package server_test

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"wellkey/server"
)

// HTTP/2 is spoken over a quarter of the connections. Who speaks nothing else has the
// place of one that is idle for a second, and of nobody else.
func TestMultiplex(t *testing.T) {
	c := server.NewConnections(8, 8, 0)
	if _, most := c.Multiplexed(); most != 2 {
		t.Fatalf("of 8 connections %d, want 2", most)
	}
	var lost string
	c.OnDisplaced(func(what string) { lost += what })
	admit := func(address string) *stub {
		conn := from(address)
		if reason := c.Admit(conn, 0); reason != "" {
			t.Fatalf("refused: %s", reason)
		}
		return conn
	}
	plain, first, second, third := admit("192.0.2.1"), admit("192.0.2.2"), admit("192.0.2.3"), admit("192.0.2.4")
	if !c.Multiplex(first, false, 0) || !c.Multiplex(second, true, 0) {
		t.Fatal("the first two are refused")
	}
	c.Set(plain, http.StateIdle, 0) // is nothing to those of HTTP/2
	c.Set(first, http.StateActive, 0)
	c.Set(second, http.StateIdle, 0)
	for _, only := range []bool{false, true} {
		if c.Multiplex(third, only, time.Second) {
			t.Errorf("a third one is taken after a second; it speaks nothing else: %v", only)
		}
	}
	if c.Multiplex(third, false, time.Hour) || lost != "" {
		t.Errorf("one that speaks HTTP/1 as well has the place of another, of whom is said: %q", lost)
	}
	if !c.Multiplex(third, true, 1100*time.Millisecond) || lost != "idle" {
		t.Errorf("the one that waits is not displaced: %q", lost)
	}
	c.Forget(second) // it is already
	if now, _ := c.Multiplexed(); now != 2 {
		t.Errorf("%d are counted, want 2", now)
	}
	if c.Multiplex(second, true, time.Hour) {
		t.Error("one that has lost its place speaks HTTP/2")
	}
	c.Forget(first)
	c.Forget(third)
	if now, _ := c.Multiplexed(); now != 0 {
		t.Errorf("%d are counted, want none", now)
	}
}

// Beside as many clients of HTTP/2 as there may be, one that speaks HTTP/1 as well does
// that; one that does not is turned away.
func TestEnoughHTTP2(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	s.Multiplex(1)
	for range 2 { // one that has gone leaves its place
		f := frame(t, s, certs)
		for ack := false; !ack; { // its client was waited for from before then on
			got, err := f.ReadFrame()
			must(t, err)
			settings, ok := got.(*http2.SettingsFrame)
			ack = ok && settings.IsAck()
		}
		s.WaitUntil(time.Hour)
		for _, tc := range []struct {
			offer []string
			want  string // "" is a failure
		}{
			{[]string{"h2", "http/1.1"}, "http/1.1"}, {[]string{"http/1.1"}, "http/1.1"}, {[]string{"acme-tls/1"}, "acme-tls/1"}, {[]string{"h2"}, ""},
		} {
			state, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) { c.NextProtos = tc.offer })
			if state.NegotiatedProtocol != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%v: got %q, %v; want %q", tc.offer, state.NegotiatedProtocol, err, tc.want)
			}
		}
		if got := ask(t, client(t, s.HTTPSAddr(), certs, false), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
			t.Errorf("got %+v", got)
		}
		must(t, f.conn.Close())
		await(t, "the end of the only one", func() bool { return s.Multiplexed() == 0 })
	}
	if got := series(t, registryOf(config))["wellkey_tls_handshake_errors_total{reason=busy}"]; got != 2 {
		t.Errorf("%v were counted, want 2", got)
	}
	tryTLS(s, certs, func(c *tls.Config) { c.NextProtos, c.RootCAs = []string{"h2"}, nil })
	await(t, "the end of a handshake that fails", func() bool { return s.Multiplexed() == 0 })
}

// A session goes on with another protocol.
func TestResumesWithoutHTTP2(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	cache := tls.NewLRUClientSessionCache(1)
	for _, want := range []string{"h2", "http/1.1"} {
		state, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12 // its ticket comes within the handshake
			c.ClientSessionCache, c.NextProtos = cache, []string{"h2", "http/1.1"}
		})
		must(t, err)
		if resumed := want == "http/1.1"; state.DidResume != resumed || state.NegotiatedProtocol != want {
			t.Errorf("resumed: %v, and speaks %s, want %v and %s", state.DidResume, state.NegotiatedProtocol, resumed, want)
		}
		s.Multiplex(0)
	}
}
