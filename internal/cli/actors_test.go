package cli

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
)

// recorder has actors that note when they end.
type recorder struct {
	mu    sync.Mutex
	ended []string
}

func (r *recorder) actor(name string, run func(context.Context) error) actor {
	return actor{name, func(ctx context.Context) error {
		err := run(ctx)
		r.mu.Lock()
		r.ended = append(r.ended, name)
		r.mu.Unlock()
		return err
	}}
}

func untilDone(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestActorsStopInOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var r recorder
	started := make(chan struct{})
	actors := []actor{r.actor("first", untilDone), r.actor("second", untilDone),
		r.actor("third", func(ctx context.Context) error { close(started); return untilDone(ctx) })}
	go func() { <-started; cancel() }()
	if err := runAll(ctx, actors); err != nil {
		t.Fatalf("runAll: %v, want nil", err)
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(r.ended, want) {
		t.Errorf("ended in the order %v, want %v", r.ended, want)
	}
}

func TestActorThatFailsStopsTheRest(t *testing.T) {
	broken := errors.New("broken")
	var r recorder
	err := runAll(context.Background(), []actor{r.actor("first", untilDone),
		r.actor("second", func(context.Context) error { return broken })})
	if !errors.Is(err, broken) || err.Error() != "running the second: broken" {
		t.Errorf("runAll: %v, want that the second is broken", err)
	}
	if len(r.ended) != 2 {
		t.Errorf("ended %v, want both", r.ended)
	}
}
