//go:build !linux

package listen

import (
	"context"
	"net"
)

// open listens at addr. It leaves it to Go to set the keep-alive of each connection.
func open(ctx context.Context, addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", addr)
}
