package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"wellkey/internal/contain"
	"wellkey/internal/pause"
)

// An actor is a part of the program that runs until its context is done and
// leaves nothing behind.
type actor struct {
	name string
	run  func(context.Context) error
}

// runAll starts the actors side by side. When ctx is done, or the first of them
// returns, it stops them one after the other in the order of the slice, each
// only after the one before it has ended. It returns the errors of all, after
// the last. An actor that panics has returned; one that can go on
// after that is wrapped, see daemon.again.
func runAll(ctx context.Context, panics *contain.Part, actors []actor) error {
	ended := make(chan struct{}) // closed when the first actor returns
	var once sync.Once
	stops := make([]context.CancelFunc, len(actors))
	done := make([]chan struct{}, len(actors))
	errs := make([]error, len(actors))
	for i, a := range actors {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		stops[i], done[i] = stop, make(chan struct{})
		go func() {
			defer close(done[i])
			defer once.Do(func() { close(ended) })
			if err := panics.Once(func() error { return a.run(own) }); err != nil && !errors.Is(err, context.Canceled) {
				errs[i] = fmt.Errorf("running the %s: %w", a.name, err)
			}
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	for i := range actors {
		stops[i]()
		<-done[i]
	}
	return errors.Join(errs...)
}

// headStart is for how long visitors who waited for the start have the process to
// themselves. The key and the stored certificate are served without any other actor,
// but those write to the disk, look from outside and ask Tesla, and on one processor
// who came first waited for all of that.
const headStart = 100 * time.Millisecond

// afterVisitors has an actor begin when those who waited for the start are served.
func afterVisitors(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		_ = pause.For(ctx, headStart) // where ctx ends, there is still what it is to leave in order
		return run(ctx)
	}
}
