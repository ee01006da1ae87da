// Package places counts who is with a server behind this one: so many at a time, and of
// one client so many that there are places left for others.
package places

import (
	"context"
	"net/netip"
	"sync"
)

// Why there is no place.
const (
	Stopping = "stopping" // after Close
	Total    = "total"    // all are taken
	Client   = "client"   // this client has as many as it may have
)

// Places are taken with Enter and given back with Leave. They are safe for concurrent use.
type Places struct {
	most int // 0: any
	each int // of one client; 0: any

	ctx    context.Context // done when all shall leave
	cancel context.CancelFunc

	mu     sync.Mutex
	gone   *sync.Cond           // taken has become 0
	taken  int                  // guarded by mu
	closed bool                 // guarded by mu
	from   map[netip.Prefix]int // guarded by mu; of them, by client; never 0
}

// New returns as many places as most says, of which one client has each, and three quarters
// at most; 0 is any number.
func New(most, each int) *Places {
	if most > 0 && each > 0 {
		each = min(each, max(most*3/4, 1))
	}
	p := &Places{most: most, each: each, from: map[netip.Prefix]int{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.gone = sync.NewCond(&p.mu)
	return p
}

// Enter takes a place for a client, or returns why there is none. The zero Prefix is of
// clients of whom any number may come, see peer.Client.
func (p *Places) Enter(client netip.Prefix) (refused string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return Stopping
	case p.most > 0 && p.taken >= p.most:
		return Total
	case client.IsValid() && p.each > 0 && p.from[client] >= p.each:
		return Client
	}
	p.taken++
	p.from[client]++
	return ""
}

// Leave gives a place back.
func (p *Places) Leave(client netip.Prefix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.from[client]--; p.from[client] == 0 {
		delete(p.from, client)
	}
	if p.taken--; p.taken == 0 {
		p.gone.Broadcast()
	}
}

// Count returns how many are taken.
func (p *Places) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}

// Context is done when all shall leave.
func (p *Places) Context() context.Context { return p.ctx }

// Close has all leave, and returns when they have. Nobody enters after it.
func (p *Places) Close() {
	p.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for p.taken > 0 {
		p.gone.Wait()
	}
}
