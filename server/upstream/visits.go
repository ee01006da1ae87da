package upstream

import (
	"context"
	"sync"
)

// visits are the requests that are with the application.
type visits struct {
	ctx    context.Context // done when they shall end
	cancel context.CancelFunc

	mu     sync.Mutex
	gone   *sync.Cond // open has become 0
	open   int        // guarded by mu
	closed bool       // guarded by mu
}

func (v *visits) init() {
	v.ctx, v.cancel = context.WithCancel(context.Background())
	v.gone = sync.NewCond(&v.mu)
}

// enter returns the context of one visit, which ends with parent or at close. It
// is not ok after close.
func (v *visits) enter(parent context.Context) (ctx context.Context, leave func(), ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil, nil, false
	}
	v.open++
	ctx, cancel := context.WithCancel(parent)
	stop := context.AfterFunc(v.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.open--; v.open == 0 {
			v.gone.Broadcast()
		}
	}, true
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
