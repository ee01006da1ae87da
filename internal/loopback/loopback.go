// Package loopback tells whether a host is this machine itself, where secrets
// may go without TLS.
package loopback

import (
	"net/netip"
	"net/url"
)

// Is reports whether host, a name or an address without port and brackets, is
// "localhost" or a loopback address. No name is looked up.
func Is(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Safe reports whether nobody on the way reads or changes what goes to u: it is https,
// or http that does not leave this machine.
func Safe(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && Is(u.Hostname())
}
