package main

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"wellkey/internal/pause"
)

// A visitor behaves: it fetches the key twenty times a second, each time over a new
// connection, from an address of its own. No visit waits for another: each begins at its
// time, and counts from then on, so that a wellkey that stalls for five seconds keeps a
// hundred visitors waiting and not one.
type visitor struct {
	fetch func(context.Context) ([]byte, error)
	key   []byte // what must come
	stop  func()

	mu  sync.Mutex
	now *round // guarded by mu
}

// A round is the visits that began during one attack.
type round struct {
	visits sync.WaitGroup

	mu     sync.Mutex
	took   []time.Duration // guarded by mu
	failed []string        // guarded by mu
}

// between is how long after each visit the next one begins.
const between = 50 * time.Millisecond

// visit begins to visit. It is fetch's to end in time.
func visit(ctx context.Context, key []byte, fetch func(context.Context) ([]byte, error)) *visitor {
	v := &visitor{fetch: fetch, key: key, now: new(round)}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for at := time.Now(); pause.For(ctx, time.Until(at)) == nil; at = at.Add(between) {
			v.mu.Lock()
			of := v.now
			of.visits.Go(func() { v.once(ctx, of, at) })
			v.mu.Unlock()
		}
	}()
	v.stop = func() {
		cancel()
		<-ended
		v.now.visits.Wait()
	}
	return v
}

// once makes the visit that was to begin at a time.
func (v *visitor) once(ctx context.Context, of *round, at time.Time) {
	key, err := v.fetch(ctx)
	took := time.Since(at)
	if ctx.Err() != nil {
		return
	}
	of.mu.Lock()
	defer of.mu.Unlock()
	switch {
	case err != nil:
		of.failed = append(of.failed, err.Error())
	case !bytes.Equal(key, v.key):
		of.failed = append(of.failed, "another key")
	default:
		of.took = append(of.took, took)
	}
}

// A visited is how a visitor fared during one attack.
type visited struct {
	good, bad         int
	p50, p99, slowest time.Duration
	first             string // why the first visit failed that did
}

// turn returns how the visits fared that began since the last turn, once the last of them
// has ended.
func (v *visitor) turn() visited {
	v.mu.Lock()
	over := v.now
	v.now = new(round)
	v.mu.Unlock()
	over.visits.Wait()
	return over.seen()
}

// seen returns how the visits of a round fared, of which none is under way.
func (r *round) seen() visited {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.took)
	seen := visited{good: len(r.took), bad: len(r.failed)}
	if seen.good > 0 {
		seen.p50, seen.p99, seen.slowest = r.took[seen.good/2], r.took[(seen.good*99-1)/100], r.took[seen.good-1]
	}
	if seen.bad > 0 {
		seen.first = r.failed[0]
	}
	return seen
}
