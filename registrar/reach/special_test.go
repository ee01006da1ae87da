package reach_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"

	"wellkey/registrar/reach"
)

func TestPublic(t *testing.T) {
	for ip, want := range map[string]string{ // what it is instead; "" = public
		"1.1.1.1": "", "93.184.215.14": "", "100.63.255.255": "", "100.128.0.0": "", "172.15.0.1": "", "172.32.0.1": "", "192.0.1.1": "",
		"198.17.0.1": "", "223.255.255.255": "", "168.63.129.17": "", "2606:4700::1111": "", "2a00:1450:4001::1": "", "2001:200::1": "",
		"64:ff9b::101:101": "",

		"0.0.0.0": "this network", "10.0.0.1": "RFC 1918", "100.64.0.1": "CGNAT", "100.127.255.255": "CGNAT", "100.100.100.200": "metadata",
		"127.0.0.1": "loopback", "127.255.255.255": "loopback", "169.254.0.1": "link-local", "169.254.169.254": "metadata",
		"172.16.0.1": "RFC 1918", "172.31.255.255": "RFC 1918", "192.0.0.192": "IETF", "192.0.2.1": "documentation", "192.88.99.1": "6to4",
		"192.168.178.1": "RFC 1918", "198.18.0.1": "benchmarks", "198.19.255.255": "benchmarks", "198.51.100.1": "documentation",
		"203.0.113.1": "documentation", "224.0.0.1": "multicast", "239.255.255.255": "multicast", "240.0.0.1": "reserved",
		"255.255.255.255": "broadcast", "168.63.129.16": "metadata",
		"::": "unspecified", "::1": "loopback", "::ffff:1.1.1.1": "IPv4 address in IPv6", "::1.1.1.1": "outside",
		"64:ff9b::7f00:1": "NAT64 of an address that is loopback", "64:ff9b::a9fe:a9fe": "NAT64 of an address that is a cloud's metadata",
		"64:ff9b:1::1": "local NAT64", "100::1": "discarded", "2001::1": "Teredo", "2001:db8::1": "documentation", "2001:2::1": "IETF",
		"2002:101:101::1": "6to4", "3fff::1": "documentation", "5f00::1": "segment routing", "fc00::1": "unique local", "fd12::1": "unique local",
		"fd00:ec2::254": "metadata", "fe80::1": "link-local", "fec0::1": "site-local", "ff02::1": "multicast", "4000::1": "outside", "e000::1": "outside",
	} {
		got := reach.Public(netip.MustParseAddr(ip))
		if want == "" && got != "" || !strings.Contains(got, want) || want != "" && got == "" {
			t.Errorf("%s is %q, want %q in it", ip, got, want)
		}
	}
}

func TestDialFailure(t *testing.T) {
	for _, tc := range []struct {
		err              error
		timedOut, routed bool
		reason, seen     string
	}{
		{os.ErrDeadlineExceeded, true, true, reach.ReasonTimeout, "did not answer within"},
		{syscall.ECONNREFUSED, false, true, reach.ReasonRefused, "refused the connection"},
		{syscall.ENETUNREACH, false, false, reach.ReasonNoRoute, "This machine has no route"},
		{syscall.EADDRNOTAVAIL, false, false, reach.ReasonNoRoute, "This machine has no route"},
		{syscall.EAFNOSUPPORT, false, false, reach.ReasonNoRoute, "This machine has no route"},
		{syscall.ENETUNREACH, false, true, reach.ReasonCannotConnect, "A router on the way says that nothing leads to 192.0.2.1:0 (IPv4)."},
		{syscall.EHOSTUNREACH, false, true, reach.ReasonCannotConnect, "A router on the way says that nothing leads to 192.0.2.1:0 (IPv4)."},
		{syscall.EACCES, false, true, reach.ReasonCannotConnect, "A firewall, here or on the way, forbids connections to 192.0.2.1:0 (IPv4)."},
		{errors.New("odd"), false, true, reach.ReasonCannotConnect, "could not be connected to: "},
	} {
		if reason, seen := reach.DialFailure(tc.err, tc.timedOut, tc.routed); reason != tc.reason || !strings.Contains(seen, tc.seen) {
			t.Errorf("%v: %q and %q, want %q and %q", tc.err, reason, seen, tc.reason, tc.seen)
		}
	}
}

func TestReasonsAreDistinct(t *testing.T) {
	seen := map[string]bool{"": true}
	for _, reason := range reach.Reasons() {
		if seen[reason] {
			t.Errorf("reason %q twice, or empty", reason)
		}
		seen[reason] = true
	}
	seen = map[string]bool{"": true}
	for _, id := range reach.Checks() {
		if seen[id] {
			t.Errorf("check %q twice, or empty", id)
		}
		seen[id] = true
	}
}
