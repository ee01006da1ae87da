package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"wellkey/internal/pause"
	"wellkey/internal/testworld"
)

// A sample is what the process holds at one moment.
type sample struct {
	at          time.Duration // since the load began
	resident    float64       // bytes
	heap        float64       // bytes in use, of Go's heap
	goroutines  int
	descriptors int
	series      int // at /metrics
}

func (s sample) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %s resident, %d series", s.goroutines, s.descriptors, mebibytes(s.resident), s.series)
}

// sampleInterval is how often samples are taken.
const sampleInterval = 5 * time.Second

// measure takes samples until ctx is done.
func (s *soak) measure(ctx context.Context) (all []sample, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	said := time.Now()
	for pause.For(ctx, min(sampleInterval, s.o.long/20)) == nil {
		// Nothing ends a sample that is under way.
		one, err := s.sample(context.WithoutCancel(ctx))
		if err != nil {
			return all, err
		}
		all = append(all, one)
		if time.Since(said) > time.Minute {
			said = time.Now()
			s.say("%v: %s", one.at.Round(time.Second), one)
		}
	}
	return all, nil
}

// sample takes one.
func (s *soak) sample(ctx context.Context) (one sample, err error) {
	bytes, err := testworld.Memory(s.p.Pid(), testworld.Resident)
	if err != nil {
		return one, err
	}
	one.resident = float64(bytes)
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.p.Pid()))
	if err != nil {
		return one, err
	}
	one.descriptors = len(entries)
	values, err := s.w.Metrics(ctx)
	if err != nil {
		return one, err
	}
	one.series = len(values)
	one.goroutines, one.heap = int(values["go_goroutines"]), values["go_memstats_heap_inuse_bytes"]
	if !s.start.IsZero() {
		one.at = time.Since(s.start)
	}
	if one.goroutines == 0 {
		return one, errors.New("the metrics do not say how many goroutines there are")
	}
	return one, nil
}

// quietFor is how long nothing may have changed for the process to be at rest.
const quietFor = 3 * time.Second

// quiet waits until goroutines and descriptors stay as they are, and returns how
// many there are.
func (s *soak) quiet(ctx context.Context) (sample, error) {
	var last sample
	since := time.Now()
	for {
		one, err := s.sample(ctx)
		if err != nil {
			return one, err
		}
		if one.goroutines != last.goroutines || one.descriptors != last.descriptors {
			last, since = one, time.Now()
		}
		if time.Since(since) > quietFor {
			return one, nil
		}
		if err := pause.For(ctx, quietFor/6); err != nil {
			return one, err
		}
	}
}

// rest waits until there are no more goroutines and descriptors than before. When
// that does not come within patience it returns how many there are then, which is
// for others to judge.
func (s *soak) rest(ctx context.Context, before sample) (sample, error) {
	for until := time.Now().Add(patience); ; {
		one, err := s.quiet(ctx)
		if err != nil || one.goroutines <= before.goroutines && one.descriptors <= before.descriptors || time.Now().After(until) {
			return one, err
		}
	}
}

// slope fits a line through what of returns, by least squares over the last two
// thirds of the samples, and returns how much it rises in an hour. The first third
// is left out, in which caches and the heap find their size.
func slope(samples []sample, of func(sample) float64) float64 {
	samples = samples[len(samples)/3:]
	if len(samples) < 2 {
		return 0
	}
	var x, y float64 // the middle of both
	for _, s := range samples {
		x, y = x+s.at.Hours()/float64(len(samples)), y+of(s)/float64(len(samples))
	}
	var xx, xy float64
	for _, s := range samples {
		dx, dy := s.at.Hours()-x, of(s)-y
		xx, xy = xx+dx*dx, xy+dx*dy
	}
	if xx == 0 {
		return 0
	}
	return xy / xx
}
