package upstream

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// errUnread ends a connection to an application that does not read.
var errUnread = errors.New("the application left unread what it was sent")

// A conn is a connection to the application. Each write has a deadline: while one hangs
// nobody reads from the visitor, so nobody would find out that he has gone, and his place
// would be taken for as long as the application hangs.
type conn struct {
	net.Conn
	patience *atomic.Int64 // a time.Duration
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(time.Duration(c.patience.Load()))) // the write fails, if this does
	n, err := c.Conn.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = errUnread
	}
	return n, err
}

// CloseWrite closes the way to the application alone, where that can be.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
