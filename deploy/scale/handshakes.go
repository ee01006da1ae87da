package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"wellkey/internal/testsites"
)

const (
	// handshakers make handshakes side by side: enough to keep a few processors
	// busy, since the client works as much as the server.
	handshakers = 8

	// rounds is how often one, few and many sites take turns, so that whatever
	// else the machine does meanwhile falls on all of them.
	rounds = 4

	// few is a number of sites whose certificates all fit into the cache.
	few = 1000
)

// A rate is how many handshakes were made, and what each cost the server.
type rate struct {
	made   int64
	during time.Duration
	cpu    time.Duration // of the server
}

func (r rate) perSecond() float64 {
	if r.during == 0 {
		return 0
	}
	return float64(r.made) / r.during.Seconds()
}

// cost returns the processor time of the server for one handshake.
func (r rate) cost() time.Duration {
	if r.made == 0 {
		return 0
	}
	return r.cpu / time.Duration(r.made)
}

// compare makes handshakes with one site, with some, and with all n.
func (c *count) compare(ctx context.Context, o options, v visitor, p *process, n int) error {
	turns := []struct {
		sites int
		into  *rate
	}{{1, &c.one}, {min(few, n), &c.few}, {n, &c.many}}
	for _, turn := range turns[:2] { // what was not needed yet is read from the storage
		if err := visitAll(ctx, v, turn.sites); err != nil {
			return err
		}
	}
	for range rounds {
		for _, turn := range turns {
			if err := turn.into.add(ctx, v, p, turn.sites, o.handshaking/rounds); err != nil {
				return err
			}
		}
	}
	return nil
}

// visitAll makes one handshake with each of the first n sites.
func visitAll(ctx context.Context, v visitor, n int) error {
	for i := range n {
		conn, err := v.handshake(ctx, testsites.Domain(i))
		if err != nil {
			return fmt.Errorf("visiting %s: %w", testsites.Domain(i), err)
		}
		_ = conn.Close() // nothing was written
	}
	return nil
}

// add makes handshakes with random ones of the first n sites.
func (r *rate) add(ctx context.Context, v visitor, p *process, n int, during time.Duration) error {
	before, err := p.cpu()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, during)
	defer cancel()
	var made atomic.Int64
	var failed sync.Once
	var failure error
	var all sync.WaitGroup
	began := time.Now()
	for range handshakers {
		all.Go(func() {
			for limited.Err() == nil {
				domain := testsites.Domain(rand.IntN(n))
				conn, err := v.handshake(ctx, domain)
				if err != nil {
					failed.Do(func() { failure = fmt.Errorf("a handshake with %s: %w", domain, err) })
					cancel()
					return
				}
				_ = conn.Close() // nothing was written
				made.Add(1)
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	after, err := p.cpu()
	if failure != nil {
		return failure
	}
	r.made, r.during, r.cpu = r.made+made.Load(), r.during+took, r.cpu+after-before
	return err
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func maximum(all []time.Duration) time.Duration { return slices.Max(all) }
