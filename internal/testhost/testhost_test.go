package testhost_test

import (
	"net"
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/testhost"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is chosen can be bound, and is not what the system gives others: that would
// be 127.0.0.1, or a port of its own range.
func TestAddrs(t *testing.T) {
	t.Parallel()
	for _, host := range []string{testhost.New(), ""} {
		addrs, err := testhost.Addrs(host, 20)
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range addrs {
			if port := testhost.Port(addr); port < 10000 || port >= 32768 {
				t.Errorf("%s has a port that the system gives others", addr)
			}
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Error(err) // one that was chosen twice ends here, too
				continue
			}
			defer l.Close()
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	addr, err := testhost.Addr()
	if err != nil {
		t.Fatal(err)
	}
	host := netip.MustParseAddrPort(addr).Addr()
	if !host.IsLoopback() || host.Compare(netip.MustParseAddr("127.16.0.1")) < 0 {
		t.Errorf("got %s, want an address of loopback that nobody else would choose", host)
	}
}

// Where a client comes from is what the package relies on: it is not the host that
// it goes to.
func TestClientsAreElsewhere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", net.JoinHostPort(testhost.New(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.LocalAddr().(*net.TCPAddr).AddrPort().Addr().String(); got != "127.0.0.1" {
		t.Errorf("a client comes from %s, want 127.0.0.1", got)
	}
}

func TestNoHost(t *testing.T) {
	t.Parallel()
	if addrs, err := testhost.Addrs("192.0.2.1", 1); err == nil {
		t.Errorf("got %q, want an error: that is no address of this machine", addrs)
	}
}
