package reach_test

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"wellkey/registrar/reach"
)

// A registered is a row of the IANA IPv4 or IPv6 special-purpose address registry,
// or a block that another registry gives a purpose.
type registered struct {
	prefix string
	name   string
	global bool // "Globally Reachable" is True
}

// registry is both registries as a whole, with the rows up to RFC 9780 (2025), and below
// them multicast and what is reserved.
var registry = []registered{
	{"0.0.0.0/8", "this network", false}, {"0.0.0.0/32", "this host on this network", false}, {"10.0.0.0/8", "private use", false}, {"100.64.0.0/10", "shared address space", false},
	{"127.0.0.0/8", "loopback", false}, {"169.254.0.0/16", "link local", false}, {"172.16.0.0/12", "private use", false}, {"192.0.0.0/24", "IETF protocol assignments", false},
	{"192.0.0.0/29", "IPv4 service continuity", false}, {"192.0.0.8/32", "dummy address", false}, {"192.0.0.9/32", "Port Control Protocol anycast", true},
	{"192.0.0.10/32", "TURN anycast", true}, {"192.0.0.170/32", "NAT64/DNS64 discovery", false}, {"192.0.0.171/32", "NAT64/DNS64 discovery", false}, {"192.0.2.0/24", "TEST-NET-1", false},
	{"192.31.196.0/24", "AS112-v4", true}, {"192.52.193.0/24", "AMT", true}, {"192.88.99.0/24", "6to4 relay anycast, withdrawn", false}, {"192.168.0.0/16", "private use", false},
	{"192.175.48.0/24", "direct delegation AS112", true}, {"198.18.0.0/15", "benchmarking", false}, {"198.51.100.0/24", "TEST-NET-2", false}, {"203.0.113.0/24", "TEST-NET-3", false},
	{"240.0.0.0/4", "reserved", false}, {"255.255.255.255/32", "limited broadcast", false},

	{"::1/128", "loopback", false}, {"::/128", "unspecified", false}, {"::ffff:0:0/96", "IPv4-mapped", false}, {"64:ff9b:1::/48", "IPv4-IPv6 translation, local", false},
	{"100::/64", "discard only", false}, {"100:0:0:1::/64", "dummy prefix", false}, {"2001::/23", "IETF protocol assignments", false}, {"2001::/32", "Teredo", false},
	{"2001:1::1/128", "Port Control Protocol anycast", true}, {"2001:1::2/128", "TURN anycast", true}, {"2001:1::3/128", "DNS-SD anycast", true}, {"2001:2::/48", "benchmarking", false},
	{"2001:3::/32", "AMT", true}, {"2001:4:112::/48", "AS112-v6", true}, {"2001:10::/28", "ORCHID", false}, {"2001:20::/28", "ORCHIDv2", true}, {"2001:30::/28", "drones", true},
	{"2001:db8::/32", "documentation", false}, {"2002::/16", "6to4", false}, {"2620:4f:8000::/48", "direct delegation AS112", true}, {"3fff::/20", "documentation", false},
	{"5f00::/16", "segment routing", false}, {"fc00::/7", "unique local", false}, {"fe80::/10", "link local", false},

	{"224.0.0.0/4", "multicast", false}, {"ff00::/8", "multicast", false}, {"fec0::/10", "site local, withdrawn", false}, {"::/96", "IPv4-compatible, withdrawn", false}, {"4000::/2", "not given out", false},
	{"169.254.169.254/32", "metadata", false}, {"fd00:ec2::254/128", "metadata", false}, {"168.63.129.16/32", "metadata", false}, {"100.100.100.200/32", "metadata", false},
}

// within are the first, the last, and some addresses in the middle of a prefix.
func within(p netip.Prefix) []netip.Addr {
	first := p.Masked().Addr()
	last, middle := first.AsSlice(), first.AsSlice()
	for bit := p.Bits(); bit < first.BitLen(); bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
		if bit%3 == 0 {
			middle[bit/8] |= 0x80 >> (bit % 8)
		}
	}
	z, _ := netip.AddrFromSlice(last)
	m, _ := netip.AddrFromSlice(middle)
	return []netip.Addr{first, m, z}
}

// TestRegistries: no address of a block that the registries do not call globally
// reachable is one that is dialed, nor one behind NAT64 that leads into such a block.
// What they call reachable within a block of ours is refused with it, since it is no
// host's: anycast of protocols, and identifiers that are no places.
func TestRegistries(t *testing.T) {
	nat64 := func(ip netip.Addr) netip.Addr {
		b := netip.MustParseAddr("64:ff9b::").As16()
		v4 := ip.As4()
		copy(b[12:], v4[:])
		return netip.AddrFrom16(b)
	}
	for _, row := range registry {
		for _, ip := range within(netip.MustParsePrefix(row.prefix)) {
			if !row.global && reach.Public(ip) == "" {
				t.Errorf("%s (%s, %s) is taken for public", ip, row.prefix, row.name)
			}
			if ip.Is4() && (reach.Public(ip) == "") != (reach.Public(nat64(ip)) == "") {
				t.Errorf("%s is judged otherwise behind NAT64: %q", ip, reach.Public(nat64(ip)))
			}
			if ip.Is4() && reach.Public(netip.AddrFrom16(ip.As16())) == "" {
				t.Errorf("%s is taken for public in IPv6 clothes", ip)
			}
		}
	}
	for _, prefix := range []string{"192.31.196.0/24", "192.52.193.0/24", "192.175.48.0/24", "2620:4f:8000::/48"} { // blocks of their own, which nothing of ours holds
		for _, ip := range within(netip.MustParsePrefix(prefix)) {
			if what := reach.Public(ip); what != "" {
				t.Errorf("%s is %s", ip, what)
			}
		}
	}
}

// TestRebinding: whoever wants a second look-up to lead inside, where the first led to
// a good address, gets no second one. What is dialed is the address that was judged,
// in each of the visits of a look, and the name is asked for once.
func TestRebinding(t *testing.T) {
	w := newWorld(t)
	w.good("127.0.0.2")
	w.dns.Set(domain, "A 127.0.0.2")
	report := w.prober().Examine(t.Context(), domain, w.key)
	if report.Verdict != reach.Reachable {
		t.Fatalf("got %+v", report)
	}
	for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
		if n := w.dns.Queries(domain, kind); n != 1 {
			t.Errorf("the name was asked for its %s records %d times, want once", dns.TypeToString[kind], n)
		}
	}
}
