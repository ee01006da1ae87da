package peer

import "net/netip"

// Client returns what counts as one client: an IPv4 address, or the /64 that an IPv6
// customer has. It is the zero Prefix for addresses that are not public: behind those
// stand a proxy, or the address translation of a container engine, with everybody
// behind them.
func Client(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return netip.Prefix{}
	}
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	prefix, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// Who returns what counts as one client where a request came from. It is the zero Prefix
// for a trusted proxy that asks for itself, or does not say for whom.
func (o Origin) Who() netip.Prefix {
	if o.Many {
		return netip.Prefix{}
	}
	return Client(o.Client)
}
