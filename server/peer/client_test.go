package peer_test

import (
	"net/http"
	"net/netip"
	"testing"

	"wellkey/server/peer"
)

// A client is an address or an IPv6 customer, and behind what is not public, or a proxy
// that does not say, stand many.
func TestWho(t *testing.T) {
	known := peer.Trusted{netip.MustParsePrefix("203.0.113.0/24")}
	const proxy, far = "203.0.113.1:1", "203.0.113.2"
	for _, one := range []struct{ remote, forwarded, want string }{
		{"198.51.100.1:1", "", "198.51.100.1/32"},
		{"198.51.100.1:1", "192.0.2.1", "198.51.100.1/32"},
		{"[::ffff:198.51.100.1]:1", "", "198.51.100.1/32"},
		{"[2001:db8:1:2:3::4]:1", "", "2001:db8:1:2::/64"},
		{proxy, "198.51.100.1", "198.51.100.1/32"},
		{proxy, "198.51.100.1, " + far, "198.51.100.1/32"},
		{proxy, "", "invalid Prefix"},
		{proxy, far, "invalid Prefix"},
		{proxy, "192.168.1.1", "invalid Prefix"},
		{"192.168.1.1:1", "", "invalid Prefix"},
		{"127.0.0.1:1", "", "invalid Prefix"},
		{"[fe80::1%eth0]:1", "", "invalid Prefix"},
	} {
		if got := known.Origin(one.remote, http.Header{"X-Forwarded-For": {one.forwarded}}).Who().String(); got != one.want {
			t.Errorf("%+v: got %s", one, got)
		}
	}
	if got := (peer.Origin{}).Who(); got.IsValid() {
		t.Errorf("nobody is %v", got)
	}
}
