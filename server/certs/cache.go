package certs

import (
	"crypto/tls"
	"sync"
)

// cacheSize is how many certificates are in memory, unless the Config says
// otherwise. One takes some 1.5 kB.
const cacheSize = 16384

// A cache bounds how many certificates are in memory. While all fit, all stay, so
// that nothing that happens to the storage stops serving. Where there are more,
// one that was not asked for lately makes room, and is read again when it is.
type cache struct {
	most   int
	chains chains

	mu   sync.Mutex
	ring []*subject // guarded by mu; those that have their certificate in memory
	hand int        // guarded by mu
}

// put takes cert into memory. Where there is no room, it is taken only if it must:
// whoever is asked for can be read.
func (c *cache) put(s *subject, cert *tls.Certificate, must bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.place < 0 {
		if len(c.ring) >= c.most {
			if !must {
				return
			}
			c.evict()
		}
		s.place = len(c.ring)
		c.ring = append(c.ring, s)
	}
	s.current.Store(cert)
}

// evict makes room for one, unless all there is must stay. It is called with mu
// held.
func (c *cache) evict() {
	for range 2 * len(c.ring) {
		c.hand = (c.hand + 1) % len(c.ring)
		s := c.ring[c.hand]
		if s.pinned.Load() || s.used.Swap(false) {
			continue
		}
		c.drop(s)
		return
	}
}

// remove takes the certificate of a domain out of memory.
func (c *cache) remove(s *subject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.place >= 0 {
		c.drop(s)
	}
}

// drop is remove with mu held.
func (c *cache) drop(s *subject) {
	last := len(c.ring) - 1
	c.ring[s.place] = c.ring[last]
	c.ring[s.place].place = s.place
	c.ring[last] = nil
	c.ring = c.ring[:last]
	s.place = -1
	s.current.Store(nil)
}
