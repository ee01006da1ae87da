package upstream

import (
	"context"
	"net/netip"
	"sync"
)

// The reasons why a request is not passed on; all but stopping are values of the label
// reason.
const (
	stopping   = "stopping"
	overTotal  = "total"
	overClient = "client"
)

// visits are the requests that are with the application.
type visits struct {
	ctx    context.Context // done when they shall end
	cancel context.CancelFunc
	most   int // at a time; 0: any
	each   int // of them of one client; 0: any

	mu     sync.Mutex
	gone   *sync.Cond           // open has become 0
	open   int                  // guarded by mu
	closed bool                 // guarded by mu
	from   map[netip.Prefix]int // guarded by mu; of them, by client; never 0
}

func (v *visits) init(most, each int) {
	v.ctx, v.cancel = context.WithCancel(context.Background())
	v.gone = sync.NewCond(&v.mu)
	v.most, v.each, v.from = most, each, map[netip.Prefix]int{}
}

// enter returns the context of one visit, which ends with parent or at close, or why it
// is refused. The zero Prefix is of clients of whom any number may come.
func (v *visits) enter(parent context.Context, client netip.Prefix) (ctx context.Context, leave func(), refused string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.closed:
		return nil, nil, stopping
	case v.most > 0 && v.open >= v.most:
		return nil, nil, overTotal
	case client.IsValid() && v.each > 0 && v.from[client] >= v.each:
		return nil, nil, overClient
	}
	v.open++
	v.from[client]++
	ctx, cancel := context.WithCancel(parent)
	stop := context.AfterFunc(v.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.from[client]--; v.from[client] == 0 {
			delete(v.from, client)
		}
		if v.open--; v.open == 0 {
			v.gone.Broadcast()
		}
	}, ""
}

// close ends all visits and waits for them.
func (v *visits) close() {
	v.cancel()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	for v.open > 0 {
		v.gone.Wait()
	}
}

func (v *visits) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open
}
