package testworld

import (
	"net"
	"os"
	"path/filepath"
)

// Beside returns the place of one more wellkey in w: at another loopback host, with
// the same ports, since a domain has one for each purpose, and with a data
// directory below dir. What is around them is one, and w closes it. Fetch and Check
// of what is returned visit that wellkey alone.
func (w *World) Beside(dir, host string) (*World, error) {
	other := *w
	other.host, other.DataDir = host, filepath.Join(dir, "data")
	for _, addr := range []*string{&other.HTTPAddr, &other.HTTPSAddr, &other.AdminAddr} {
		_, port, err := net.SplitHostPort(*addr)
		if err != nil {
			return nil, err
		}
		*addr = net.JoinHostPort(host, port)
	}
	return &other, os.MkdirAll(dir, 0o700)
}

// Lead has a domain lead to this wellkey, in DNS and for Tesla.
func (w *World) Lead(domain string) {
	w.DNS.Set(domain, "A "+w.host)
	w.ways.Store(domain, w.host)
}

// Host returns the address of wellkey's listeners, without ports.
func (w *World) Host() string { return w.host }
