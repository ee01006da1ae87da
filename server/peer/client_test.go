package peer_test

import (
	"net/netip"
	"testing"

	"wellkey/server/peer"
)

// A client is an address or an IPv6 customer, and behind what is not public, or a proxy
// that does not say, stand many.
func TestWho(t *testing.T) {
	proxy := []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	for _, one := range []struct {
		client  string
		trusted bool
		via     []netip.Addr
		want    string
	}{
		{"198.51.100.1", false, nil, "198.51.100.1/32"},
		{"::ffff:198.51.100.1", false, nil, "198.51.100.1/32"},
		{"2001:db8:1:2:3::4", false, nil, "2001:db8:1:2::/64"},
		{"198.51.100.1", true, proxy, "198.51.100.1/32"},
		{"198.51.100.1", true, nil, "invalid Prefix"},
		{"192.168.1.1", false, nil, "invalid Prefix"},
		{"127.0.0.1", false, nil, "invalid Prefix"},
		{"fe80::1%eth0", false, nil, "invalid Prefix"},
	} {
		o := peer.Origin{Client: netip.MustParseAddr(one.client), Trusted: one.trusted, Via: one.via}
		if got := o.Who().String(); got != one.want {
			t.Errorf("%+v: got %s", one, got)
		}
	}
	if got := (peer.Origin{}).Who(); got.IsValid() {
		t.Errorf("nobody is %v", got)
	}
}
