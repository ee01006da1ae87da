package listen_test

import (
	"errors"
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
	ours := listen.Config(syscall.SetsockoptInt)
	if ours.KeepAlive >= 0 || ours.KeepAliveConfig.Enable {
		t.Error("Go sets the keep-alive of each connection")
	}
	if ours.MultipathTCP() {
		t.Error("connections may be those of multipath TCP")
	}
	for name, config := range map[string]*net.ListenConfig{"ours": ours, "Go's": {}} {
		l, err := config.Listen(t.Context(), "tcp", loopback)
		must(t, err)
		keepsAlive(t, name, l)
	}
}

// TestKeepAliveWithoutInheritance: where the listening socket cannot have it, each
// connection has it, and nothing else is excused.
func TestKeepAliveWithoutInheritance(t *testing.T) {
	t.Parallel()
	fails := func(_, _, option, _ int) error {
		if option == syscall.TCP_KEEPCNT {
			return syscall.ENOPROTOOPT
		}
		return nil
	}
	l, err := listen.OpenWith(t.Context(), loopback, fails)
	must(t, err)
	if _, err := listen.OpenWith(t.Context(), l.Addr().String(), fails); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("at an address that is taken: got %v", err)
	}
	keepsAlive(t, "without inheritance", l)
}

// keepsAlive looks at a connection that l takes, and closes l.
func keepsAlive(t *testing.T, name string, l net.Listener) {
	t.Helper()
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
