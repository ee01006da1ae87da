package peer

import (
	"net/netip"

	"wellkey/internal/customer"
)

// Client returns what counts as one client, see customer.Of. It is the zero Prefix for
// addresses that are not public: behind those stand a proxy, or the address translation
// of a container engine, with everybody behind them.
func Client(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return netip.Prefix{}
	}
	return customer.Of(ip)
}

// Who returns what counts as one client where a request came from. It is the zero Prefix
// for a trusted proxy that asks for itself, or does not say for whom.
func (o Origin) Who() netip.Prefix {
	if o.Many {
		return netip.Prefix{}
	}
	return Client(o.Client)
}
