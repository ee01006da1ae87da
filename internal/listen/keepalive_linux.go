package listen

import (
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

// config has connections inherit their keep-alive from the listening socket, as they
// do on Linux: Go would set it with four system calls on each.
func config() *net.ListenConfig {
	return &net.ListenConfig{
		KeepAlive: -1,
		Control: func(_, _ string, raw syscall.RawConn) error {
			var errs []error
			err := raw.Control(func(fd uintptr) {
				set := func(level, option, value int) {
					errs = append(errs, syscall.SetsockoptInt(int(fd), level, option, value))
				}
				set(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
				set(syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, aliveAfter)
				set(syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, aliveEvery)
				set(syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, aliveTimes)
			})
			return errors.Join(append(errs, err)...)
		},
	}
}
