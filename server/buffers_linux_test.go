package server_test

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"

	"wellkey/server"
	"wellkey/server/passthrough"
)

// What the kernel holds of a connection is bounded where we answer all, and left to the
// kernel where others do: an upload, or what is passed on, may need more.
func TestBuffers(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*server.Config)
		bounded bool
	}{
		"the key alone":         {func(*server.Config) {}, true},
		"an application behind": {func(c *server.Config) { c.Upstream = newApp(t, nil).config() }, false},
		"others beside": {func(c *server.Config) {
			c.Passthrough = []passthrough.Route{{Name: "other.example.com", Target: "127.0.0.1:1"}}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			config, certs := configure(t)
			tc.change(&config)
			s := start(t, config)
			// One that came before the listener serves has what the kernel gave it.
			visitor := client(t, s.HTTPSAddr(), certs, false)
			ask(t, visitor, "GET", "https://"+domain, server.KeyPath, nil)
			visitor.CloseIdleConnections()
			await(t, "the end of the first visit", func() bool { return s.Open() == 0 })
			conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain})
			must(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			held := s.Held()
			if len(held) != 1 {
				t.Fatalf("%d connections are held, want 1", len(held))
			}
			unread, unsent := sized(t, held[0].(*net.TCPConn), syscall.SO_RCVBUF), sized(t, held[0].(*net.TCPConn), syscall.SO_SNDBUF)
			if tc.bounded && (unread != 2*server.MostBuffered || unsent != 2*server.MostBuffered) {
				t.Errorf("%d and %d bytes, want %d of both", unread, unsent, 2*server.MostBuffered)
			}
			if !tc.bounded && unsent == 2*server.MostBuffered { // the other has this size, too, until it grows
				t.Error("bounded")
			}
		})
	}
}

func sized(t *testing.T, conn *net.TCPConn, option int) (size int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	must(t, err)
	var failed error
	must(t, raw.Control(func(fd uintptr) { size, failed = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, option) }))
	must(t, failed)
	return size
}
