package reach

import "net/netip"

// A special is a block of addresses that nobody on the public internet can use
// to reach a host.
type special struct {
	prefix netip.Prefix
	what   string // completes "the address is ..."
}

// specials returns the blocks of the IANA IPv4 and IPv6 special-purpose address
// registries that are not globally reachable, and of multicast:
// https://www.iana.org/assignments/iana-ipv4-special-registry and
// https://www.iana.org/assignments/iana-ipv6-special-registry. The closer block
// comes before the one that holds it. What lies outside 2000::/3, the only
// space of which global unicast addresses are given out, needs no row to be
// refused; rows there only give it its name.
//
// Two rows are public by the registries and still no host's: Azure answers its
// machines' metadata on a public address, and 6to4 was withdrawn by RFC 7526.
func specials() []special {
	block := func(prefix, what string) special { return special{netip.MustParsePrefix(prefix), what} }
	return []special{
		block("0.0.0.0/8", `of "this network" (RFC 791)`),
		block("10.0.0.0/8", "private (RFC 1918)"),
		block("100.100.100.200/32", "a cloud's metadata service (Alibaba)"),
		block("100.64.0.0/10", "of a carrier's shared space, CGNAT (RFC 6598)"),
		block("127.0.0.0/8", "loopback (RFC 1122)"),
		block("168.63.129.16/32", "a cloud's metadata service (Azure)"),
		block("169.254.169.254/32", "a cloud's metadata service"),
		block("169.254.0.0/16", "link-local (RFC 3927)"),
		block("172.16.0.0/12", "private (RFC 1918)"),
		block("192.0.0.0/24", "reserved for IETF protocols (RFC 6890)"),
		block("192.0.2.0/24", "for documentation (RFC 5737)"),
		block("192.88.99.0/24", "of a withdrawn 6to4 relay (RFC 7526)"),
		block("192.168.0.0/16", "private (RFC 1918)"),
		block("198.18.0.0/15", "for benchmarks (RFC 2544)"),
		block("198.51.100.0/24", "for documentation (RFC 5737)"),
		block("203.0.113.0/24", "for documentation (RFC 5737)"),
		block("224.0.0.0/4", "multicast (RFC 5771)"),
		block("255.255.255.255/32", "the broadcast address (RFC 919)"),
		block("240.0.0.0/4", "reserved (RFC 1112)"),

		block("::/128", "unspecified (RFC 4291)"),
		block("::1/128", "loopback (RFC 4291)"),
		block("::ffff:0:0/96", "an IPv4 address in IPv6 clothes (RFC 4291)"),
		block("64:ff9b:1::/48", "of a local NAT64 (RFC 8215)"),
		block("100::/64", "discarded everywhere (RFC 6666)"),
		block("2001::/32", "Teredo (RFC 4380)"),
		block("2001:db8::/32", "for documentation (RFC 3849)"),
		block("2001::/23", "reserved for IETF protocols (RFC 2928)"),
		block("2002::/16", "6to4 (RFC 3056, withdrawn by RFC 7526)"),
		block("3fff::/20", "for documentation (RFC 9637)"),
		block("5f00::/16", "of segment routing (RFC 9602)"),
		block("fd00:ec2::254/128", "a cloud's metadata service (Amazon)"),
		block("fc00::/7", "unique local, private (RFC 4193)"),
		block("fe80::/10", "link-local (RFC 4291)"),
		block("fec0::/10", "site-local, withdrawn (RFC 3879)"),
		block("ff00::/8", "multicast (RFC 4291)"),
	}
}

// public returns "" for an address that the public internet can reach, else
// what the address is instead, to complete "the address is ...". A NAT64
// address (RFC 6052) is what the IPv4 address inside it is.
func public(ip netip.Addr) string {
	if netip.MustParsePrefix("64:ff9b::/96").Contains(ip) {
		b := ip.As16()
		if what := public(netip.AddrFrom4([4]byte(b[12:]))); what != "" {
			return "NAT64 of an address that is " + what
		}
		return ""
	}
	for _, s := range specials() {
		if s.prefix.Contains(ip) {
			return s.what
		}
	}
	if ip.Is6() && !netip.MustParsePrefix("2000::/3").Contains(ip) {
		return "outside of what is given out to hosts (RFC 4291)"
	}
	return ""
}
