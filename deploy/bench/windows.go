package main

import (
	"context"
	"fmt"
	"time"

	"wellkey/internal/pause"
)

// A load is what a window puts on a server. It returns how many operations were done.
type load func(ctx context.Context, r *running, during time.Duration) (int64, error)

// windows says how one scenario is measured.
type windows struct {
	repetitions int
	during      time.Duration
	foreign     float64 // part of a core that others may use
	spare       int     // how many windows may be repeated because of others; counts down
}

// A sample is what one window gave: a cost in the unit of its scenario; 0 = void.
type sample = float64

// measure lets servers take turns, and returns the samples of each by name.
func (w *windows) measure(ctx context.Context, all []*running, window func(ctx context.Context, r *running, during time.Duration) (sample, error), say func(string, ...any)) (map[string][]sample, error) {
	samples := map[string][]sample{}
	for i := range w.repetitions {
		for _, r := range turn(all, i) {
			got, err := w.undisturbed(ctx, all, func() (sample, error) { return window(ctx, r, w.during) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, r.ended(err))
			}
			samples[r.name] = append(samples[r.name], got)
		}
		say("  %d of %d", i+1, w.repetitions)
	}
	return samples, nil
}

// tries is how often a window is measured at the most.
const tries = 3

// undisturbed measures a window until nobody else used more than a little of the
// processors meanwhile; 0 where that does not come.
func (w *windows) undisturbed(ctx context.Context, all []*running, window func() (sample, error)) (sample, error) {
	for try := 1; ; try++ {
		before, err := foreignTime(all)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		got, err := window()
		if err != nil {
			return 0, err
		}
		after, err := foreignTime(all)
		if err != nil {
			return 0, err
		}
		if (after - before).Seconds() <= w.foreign*time.Since(began).Seconds() {
			return got, nil
		}
		if try == tries || w.spare == 0 {
			return 0, nil
		}
		w.spare--
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// perOperation returns a window that gives the processor time of the server for one
// operation of a load, in microseconds, without what it uses at rest where that is
// known. The server is at rest before and after.
func perOperation(l load) func(context.Context, *running, time.Duration) (sample, error) {
	return func(ctx context.Context, r *running, during time.Duration) (sample, error) {
		var done int64
		began := time.Now()
		used, err := r.during(func() (err error) {
			if done, err = l(ctx, r, during); err != nil {
				return err
			}
			return pause.For(ctx, 10*time.Millisecond) // for what follows a goodbye
		})
		if err == nil && done == 0 {
			err = fmt.Errorf("nothing was done in %v", during)
		}
		own := used.Seconds() - r.rest*time.Since(began).Seconds()
		return own * 1e6 / float64(max(done, 1)), err
	}
}

// lookAtRest learns what servers use while nobody visits them.
func lookAtRest(ctx context.Context, all []*running, during time.Duration) error {
	before := make([]time.Duration, len(all))
	began := time.Now()
	for i, r := range all {
		var err error
		if before[i], err = r.cpu(); err != nil {
			return err
		}
	}
	if err := pause.For(ctx, during); err != nil {
		return err
	}
	for i, r := range all {
		after, err := r.cpu()
		if err != nil {
			return err
		}
		r.rest = (after - before[i]).Seconds() / time.Since(began).Seconds()
	}
	return nil
}

// during returns how much processor time the server uses while something is done.
func (r *running) during(something func() error) (time.Duration, error) {
	before, err := r.cpu()
	if err != nil {
		return 0, err
	}
	if err := something(); err != nil {
		return 0, err
	}
	after, err := r.cpu()
	return after - before, err
}
