//go:build !linux

package listen

import "net"

// config leaves it to Go to set the keep-alive of each connection.
func config() *net.ListenConfig { return new(net.ListenConfig) }
