package server_test

import (
	"crypto/tls"
	"net"
	"testing"

	"wellkey/server"
)

// stub is a connection from an address.
type stub struct {
	net.Conn
	from net.Addr
}

func (s *stub) RemoteAddr() net.Addr { return s.from }

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
			c := server.NewConnections(10, 2)
			a, b := from(tc.first), from(tc.second)
			for _, conn := range []net.Conn{a, b} {
				if got := c.Admit(conn); got != "" {
					t.Fatalf("refused: %s", got)
				}
			}
			third := from(tc.second)
			if got := c.Admit(third); got != tc.want {
				t.Errorf("the third connection: %q, want %q", got, tc.want)
			}
			c.Forget(a)
			c.Forget(a) // told twice
			if got := c.Admit(from(tc.second)); got != "" && tc.first == tc.second {
				t.Errorf("refused although one has gone: %s", got)
			}
		})
	}
}

func TestConnectionsInTotal(t *testing.T) {
	c := server.NewConnections(2, 2)
	a := from("192.0.2.1")
	if c.Admit(a) != "" || c.Admit(from("192.0.2.2")) != "" {
		t.Fatal("refused below the limit")
	}
	over := from("192.0.2.3")
	if got := c.Admit(over); got != "total" {
		t.Errorf("got %q, want total", got)
	}
	c.Forget(over) // it was never counted
	c.Forget(a)
	if conns, clients := c.Held(); conns != 1 || clients != 1 {
		t.Errorf("%d connections of %d clients are counted, want 1 of 1", conns, clients)
	}
}

// A listener that is full closes what comes, and serves again when one has gone.
func TestFullListener(t *testing.T) {
	config, certs := configure(t)
	s := newServer(t, config)
	s.LimitHTTPS(2)
	run(t, s)
	dial := func() *tls.Conn {
		conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain})
		if err != nil {
			return nil
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	first, second := dial(), dial()
	if first == nil || second == nil {
		t.Fatal("refused below the limit")
	}
	if dial() != nil {
		t.Error("a third connection was served")
	}
	got := series(t, registryOf(config))
	if got[`wellkey_connections{listener=https}`] != 2 || got[`wellkey_connections_rejected_total{listener=https,reason=total}`] != 1 {
		t.Errorf("metrics: %v open, %v rejected", got[`wellkey_connections{listener=https}`], got[`wellkey_connections_rejected_total{listener=https,reason=total}`])
	}
	if n := got[`wellkey_tls_handshake_errors_total{reason=other}`]; n != 0 {
		t.Errorf("%v handshake errors are counted for what we closed ourselves", n)
	}
	must(t, first.Close())
	await(t, "a free place", func() bool { return dial() != nil })
}
