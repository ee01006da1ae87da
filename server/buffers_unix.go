//go:build unix

package server

import (
	"net"
	"syscall"
)

// mostBuffered is how many bytes of what a client sent unread, and of what it does not
// read, the kernel holds for a connection, each way; Linux takes it twice, for what it
// needs itself. Without a bound it may be megabytes, which count for the container, and a
// request or an answer of ours is a few hundred bytes. A client far away is no slower for
// it: it has 32 answers within one round trip.
const mostBuffered = 64 << 10

// buffer bounds what the kernel holds for each connection that bound is to accept. Where
// that cannot be, it holds what it likes.
func buffer(bound net.Listener) {
	of, ok := bound.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := of.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // connections inherit it
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, mostBuffered)
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, mostBuffered)
	})
}
