package customer_test

import (
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/customer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOf(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"198.51.100.1": "198.51.100.1/32", "::ffff:198.51.100.1": "198.51.100.1/32", "127.0.0.1": "127.0.0.1/32", "10.0.0.1": "10.0.0.1/32",
		"2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "::1": "::/64",
	} {
		if got := customer.Of(netip.MustParseAddr(ip)); got.String() != want {
			t.Errorf("%s: got %s, want %s", ip, got, want)
		}
	}
	if got := customer.Of(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("nobody is %v", got)
	}
}
