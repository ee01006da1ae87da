package listen_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/listen"
)

// TestKeepAliveIsInherited: a connection has the keep-alive that Go gives one, without
// that anybody set it there.
func TestKeepAliveIsInherited(t *testing.T) {
	t.Parallel()
	ours := listen.Config()
	if ours.KeepAlive >= 0 || ours.KeepAliveConfig.Enable {
		t.Error("Go sets the keep-alive of each connection")
	}
	for name, config := range map[string]*net.ListenConfig{"ours": ours, "Go's": {}} {
		l, err := config.Listen(t.Context(), "tcp", loopback)
		must(t, err)
		defer func() { _ = l.Close() }()
		client, err := net.DialTimeout("tcp", l.Addr().String(), time.Minute)
		must(t, err)
		defer func() { _ = client.Close() }()
		conn, err := l.Accept()
		must(t, err)
		defer func() { _ = conn.Close() }()
		raw, err := conn.(*net.TCPConn).SyscallConn()
		must(t, err)
		must(t, raw.Control(func(fd uintptr) {
			for _, option := range []struct {
				name               string
				level, which, want int
			}{
				{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
				{"TCP_KEEPIDLE", syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
				{"TCP_KEEPINTVL", syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
				{"TCP_KEEPCNT", syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
			} {
				if got, err := syscall.GetsockoptInt(int(fd), option.level, option.which); err != nil || got != option.want {
					t.Errorf("%s: %s is %d (%v), want %d", name, option.name, got, err, option.want)
				}
			}
		}))
	}
}
