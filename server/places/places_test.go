package places_test

import (
	"net/netip"
	"testing"

	"go.uber.org/goleak"

	"wellkey/server/places"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var one, other = netip.MustParsePrefix("198.51.100.1/32"), netip.MustParsePrefix("198.51.100.2/32")

// take takes n places, and expects that the next is refused for a reason, "" for none.
func take(t *testing.T, p *places.Places, client netip.Prefix, n int, refused string) {
	t.Helper()
	for i := range n {
		if got := p.Enter(client); got != "" {
			t.Fatalf("%v has no place beside %d: %s", client, i, got)
		}
	}
	if got := p.Enter(client); got != refused {
		t.Fatalf("%v has %d places, and for one more got %q, want %q", client, n, got, refused)
	}
}

// However many one client may have, and however few there are, it leaves some to others.
func TestOneClient(t *testing.T) {
	for of, want := range map[[2]int]int{
		{8192, 1024}: 1024, {928, 1024}: 696, {16, 8}: 8, {9, 1024}: 6, {4, 256}: 3, {2, 256}: 1, {0, 5}: 5,
	} {
		p := places.New(of[0], of[1])
		take(t, p, one, want, places.Client)
		p.Leave(one)
		take(t, p, one, 1, places.Client)
		take(t, p, other, 0, "")
	}
}

// Of those behind whom many stand, any number may come while there are places.
func TestTotal(t *testing.T) {
	p := places.New(5, 1)
	take(t, p, one, 1, places.Client)
	take(t, p, netip.Prefix{}, 4, places.Total)
	take(t, p, other, 0, places.Total)
	p.Leave(netip.Prefix{})
	take(t, p, other, 1, places.Total)
	if n := p.Count(); n != 5 {
		t.Errorf("%d are taken, want 5", n)
	}
	take(t, places.New(0, 0), one, 10000, "")
}

// Close tells those who have a place, and waits for them.
func TestClose(t *testing.T) {
	p := places.New(2, 0)
	take(t, p, one, 1, "")
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		p.Close()
	}()
	<-p.Context().Done()
	p.Leave(one)
	select {
	case <-closed:
		t.Error("it did not wait for the last")
	default:
	}
	p.Leave(one)
	<-closed
	take(t, p, one, 0, places.Stopping)
}
