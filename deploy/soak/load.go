package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"wellkey/internal/pause"
)

// A kind is one way to visit.
type kind struct {
	name   string
	rate   float64 // a second
	behave bool    // so that it must get its answer
	visit  func(context.Context, *site) error
}

// keep makes visits of a kind until ctx is done. A visit that is under way then may
// end.
func (s *soak) keep(ctx context.Context, k kind) {
	for {
		// Between half and one and a half of the interval, so that kinds meet in
		// ever other ways.
		wait := time.Duration((0.5 + rand.Float64()) / k.rate * float64(time.Second))
		if pause.For(ctx, wait) != nil {
			return
		}
		of := s.steady[rand.IntN(len(s.steady))]
		began := time.Now()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), visitPatience)
		err := k.visit(limited, of)
		cancel()
		s.tallies.add(k.name, k.behave, time.Since(began), err)
	}
}

// visitPatience bounds one visit.
const visitPatience = 10 * time.Second

// errWrong is of bytes that must never be served.
var errWrong = errors.New("wrong bytes are served")

// right compares what came with the key of the site.
func right(of *site, body []byte) error {
	if !bytes.Equal(body, of.key) {
		return fmt.Errorf("%w for %s: %.80q", errWrong, of.domain, body)
	}
	return nil
}

// A tally is how often something was done.
type tally struct {
	name    string
	behave  bool
	done    int
	failed  int
	slowest time.Duration
	first   error // of those that failed
}

// tallies are the tallies of all kinds, in the order in which they came first.
type tallies struct {
	mu    sync.Mutex
	wrong int      // guarded by mu; answers with wrong bytes
	all   []*tally // guarded by mu
}

func newTallies() *tallies { return new(tallies) }

func (t *tallies) add(name string, behave bool, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var into *tally
	for _, one := range t.all {
		if one.name == name {
			into = one
		}
	}
	if into == nil {
		into = &tally{name: name, behave: behave}
		t.all = append(t.all, into)
	}
	into.done++
	into.slowest = max(into.slowest, took)
	if err == nil {
		return
	}
	into.failed++
	if into.first == nil {
		into.first = err
	}
	if errors.Is(err, errWrong) {
		t.wrong++
	}
}

// list returns copies of all tallies, and how many answers had wrong bytes.
func (t *tallies) list() (all []tally, wrong int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, one := range t.all {
		all = append(all, *one)
	}
	return all, t.wrong
}
