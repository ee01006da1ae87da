package listen

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// How the kernel looks whether a silent client is still there, as Go has it: after
// 15 s, every 15 s, nine times.
const (
	aliveAfter = 15
	aliveEvery = 15
	aliveTimes = 9
)

// errKeepAlive is that of a kernel which is Linux by name and has no such options.
var errKeepAlive = errors.New("keep-alive cannot be set")

// A setter sets an option of a socket, like syscall.SetsockoptInt.
type setter func(fd, level, option, value int) error

// open listens at addr.
func open(ctx context.Context, addr string) (net.Listener, error) {
	return openWith(ctx, addr, syscall.SetsockoptInt)
}

// openWith is open. Where keep-alive cannot be set it is left to Go, which sets what it
// can on each connection.
func openWith(ctx context.Context, addr string, set setter) (net.Listener, error) {
	listener, err := config(set).Listen(ctx, "tcp", addr)
	if errors.Is(err, errKeepAlive) {
		var simple net.ListenConfig
		simple.SetMultipathTCP(false)
		return simple.Listen(ctx, "tcp", addr)
	}
	return listener, err
}

// config has connections inherit their keep-alive from the listening socket, as they
// do on Linux: Go would set it with four system calls on each. Those of multipath TCP,
// which Go would take where it can, need not inherit anything.
func config(set setter) *net.ListenConfig {
	c := &net.ListenConfig{
		KeepAlive: -1,
		Control: func(_, _ string, raw syscall.RawConn) error {
			var errs []error
			err := raw.Control(func(fd uintptr) {
				for _, option := range [][3]int{
					{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
					{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, aliveAfter},
					{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, aliveEvery},
					{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, aliveTimes},
				} {
					errs = append(errs, set(int(fd), option[0], option[1], option[2]))
				}
			})
			if err := errors.Join(append(errs, err)...); err != nil {
				return errors.Join(errKeepAlive, err)
			}
			return nil
		},
	}
	c.SetMultipathTCP(false)
	return c
}
