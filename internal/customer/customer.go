// Package customer tells who counts as one where clients are counted: whoever has an
// IPv6 network has more addresses in it than there are places anywhere.
package customer

import "net/netip"

// Of returns an IPv4 address, or the /64 that an IPv6 customer has. It is the
// zero Prefix of the zero Addr.
func Of(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	prefix, _ := ip.Prefix(min(ip.BitLen(), 64)) // there are so many
	return prefix
}
