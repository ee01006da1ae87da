// Package contain keeps a panic in one part of wellkey from ending all of it: the
// key is to be served whatever is wrong elsewhere. A contained panic is counted and
// logged, with the place but without its words, which may hold a secret or what a
// stranger sent: of each part one a minute, since strangers may be able to cause it.
//
// Every goroutine of a wellkey that serves is contained by a Part, or ends the
// process in order, see Part.Once. What libraries start is theirs. A panic leaves a
// lock that was held without defer locked; then the watchdog of the service manager
// is what helps.
package contain

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// ErrPanicked stands for a panic that was contained. The log has more.
var ErrPanicked = errors.New("it panicked, which is a bug in wellkey: please report it with the stack that the log has")

// tellEvery is how often a part logs a panic: a stack has up to 32 kB, and there may be
// one that strangers can cause as often as they like.
const tellEvery = time.Minute

// The pauses before a loop that panicked goes on: so long that one that always does
// takes no time and fills no log.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// A Part of wellkey contains its panics, and is the collector that counts them. It
// is safe for concurrent use. The nil Part contains nothing.
type Part struct {
	panics prometheus.Counter
	log    *zap.Logger

	mu   sync.Mutex
	next time.Time // guarded by mu; when a panic is logged again
}

// New returns the part of that name, which nobody has registered yet. The log may
// be nil.
func New(name string, log *zap.Logger) *Part {
	if log == nil {
		log = zap.NewNop()
	}
	return &Part{log: log, panics: prometheus.NewCounter(prometheus.CounterOpts{
		Name:        "wellkey_panics_total",
		Help:        "Panics that were contained, by the part of wellkey: each is a bug in it.",
		ConstLabels: prometheus.Labels{"part": name},
	})}
}

// Describe implements prometheus.Collector.
func (p *Part) Describe(descs chan<- *prometheus.Desc) { p.panics.Describe(descs) }

// Collect implements prometheus.Collector.
func (p *Part) Collect(metrics chan<- prometheus.Metric) { p.panics.Collect(metrics) }

// Do calls f, and reports whether it panicked.
func (p *Part) Do(f func()) (panicked bool) {
	if p == nil {
		f()
		return false
	}
	defer func() {
		if fault := recover(); fault != nil {
			p.tell(fault)
			panicked = true
		}
	}()
	f()
	return false
}

// Once returns what run returns, ErrPanicked where it panics: for what cannot go on
// after that, so that whoever depends on it ends in order.
func (p *Part) Once(run func() error) (err error) {
	if p.Do(func() { err = run() }) {
		return ErrPanicked
	}
	return err
}

// Again is for a loop: it returns what run returns, and where that panics, runs it
// again after a pause, until ctx is done.
func (p *Part) Again(ctx context.Context, run func(context.Context) error) (err error) {
	for pause := firstPause; p.Do(func() { err = run(ctx) }); pause = min(2*pause, lastPause) {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
	return err
}

// Collector returns c with its panics contained: the registry collects in
// goroutines of its own.
func (p *Part) Collector(c prometheus.Collector) prometheus.Collector { return collector{c, p} }

type collector struct {
	prometheus.Collector
	in *Part
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	c.in.Do(func() { c.Collector.Collect(metrics) })
}

// A passed is a panic of another goroutine.
type passed struct {
	fault any
	stack zap.Field
}

// Together calls f with 0 to n-1 side by side, and returns when all have ended.
// Where one panics it panics then, too, so that whoever contains the caller contains
// all of them.
func Together(n int, f func(i int)) {
	faults := make([]*passed, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			defer func() {
				if fault := recover(); fault != nil {
					faults[i] = &passed{fault, zap.Stack("stack")}
				}
			}()
			f(i)
		})
	}
	all.Wait()
	for _, fault := range faults {
		if fault != nil {
			panic(fault)
		}
	}
}

// Elsewhere counts and logs a panic that a library has contained. Of what that says of it,
// some words and the stack as runtime.Stack writes it, the places are logged.
func (p *Part) Elsewhere(said string) {
	if !p.count() {
		return
	}
	var places strings.Builder
	for line := range strings.Lines(said[max(strings.LastIndex(said, "\ngoroutine "), 0):]) {
		if place, ok := strings.CutPrefix(line, "\t"); ok {
			place, _, _ = strings.Cut(place, " +0x")
			places.WriteString(strings.TrimSpace(place) + "\n")
		}
	}
	p.report("in a library", zap.String("stack", places.String()))
}

// tell counts and logs a panic. Of its words only those of the runtime are known to
// hold nothing but types and numbers. The stack has places and no arguments.
func (p *Part) tell(fault any) {
	if !p.count() {
		return
	}
	stack := zap.Stack("stack")
	if other, ok := fault.(*passed); ok {
		fault, stack = other.fault, other.stack
	}
	what := fmt.Sprintf("%T", fault)
	if err, ok := fault.(runtime.Error); ok {
		what = fmt.Sprintf("%.500q", err.Error())
	}
	p.report(what, stack)
}

// count counts a panic, and reports whether it is to be logged.
func (p *Part) count() bool {
	p.panics.Inc()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Before(p.next) {
		return false
	}
	p.next = now.Add(tellEvery)
	return true
}

func (p *Part) report(what string, stack zap.Field) {
	p.log.Error("a part of wellkey panicked and goes on: this is a bug, please report it", zap.String("panic", what), stack)
}
