package main

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"
)

// A visitor behaves: it fetches the key twenty times a second, each time over a new
// connection, from an address of its own.
type visitor struct {
	stop func()

	mu     sync.Mutex
	took   []time.Duration // guarded by mu; of this attack
	failed []string        // guarded by mu; of this attack
}

// visit begins to visit t.
func visit(ctx context.Context, t *target) *visitor {
	v := &visitor{}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				v.once(ctx, t)
			}
		}
	}()
	v.stop = func() { cancel(); <-ended }
	return v
}

func (v *visitor) once(ctx context.Context, t *target) {
	began := time.Now()
	key, err := t.fetch(ctx, "198.19.255.1")
	took := time.Since(began)
	if ctx.Err() != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case err != nil:
		v.failed = append(v.failed, err.Error())
	case !bytes.Equal(key, t.key):
		v.failed = append(v.failed, "another key")
	default:
		v.took = append(v.took, took)
	}
}

// A visited is how a visitor fared during one attack.
type visited struct {
	good, bad int
	p50, p99  time.Duration
	first     string // why the first visit failed that did
}

// turn returns how v fared since the last turn.
func (v *visitor) turn() visited {
	v.mu.Lock()
	defer v.mu.Unlock()
	slices.Sort(v.took)
	seen := visited{good: len(v.took), bad: len(v.failed)}
	if seen.good > 0 {
		seen.p50, seen.p99 = v.took[seen.good/2], v.took[(seen.good*99-1)/100]
	}
	if seen.bad > 0 {
		seen.first = v.failed[0]
	}
	v.took, v.failed = nil, nil
	return seen
}
