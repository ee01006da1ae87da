//go:build unix

package reach

import (
	"errors"
	"syscall"
)

// canLimitSegments reports whether limitSegments does anything.
const canLimitSegments = true

// limitSegments has a socket that is about to connect send small segments only, and
// ask for such.
func limitSegments(_, _ string, conn syscall.RawConn) error {
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, smallSegment)
	})
	return errors.Join(err, failed)
}
