package cli

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/internal/contain"
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
	if err := runAll(ctx, contain.New("test", nil), actors); err != nil {
		t.Fatalf("runAll: %v, want nil", err)
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(r.ended, want) {
		t.Errorf("ended in the order %v, want %v", r.ended, want)
	}
}

func TestActorThatFailsStopsTheRest(t *testing.T) {
	broken := errors.New("broken")
	var r recorder
	err := runAll(context.Background(), contain.New("test", nil), []actor{r.actor("first", untilDone),
		r.actor("second", func(context.Context) error { return broken })})
	if !errors.Is(err, broken) || err.Error() != "running the second: broken" {
		t.Errorf("runAll: %v, want that the second is broken", err)
	}
	if len(r.ended) != 2 {
		t.Errorf("ended %v, want both", r.ended)
	}
}

// TestActorThatPanics: it ends all in order, where it cannot go on, and is no crash.
func TestActorThatPanics(t *testing.T) {
	var r recorder
	err := runAll(context.Background(), contain.New("test", nil), []actor{r.actor("first", untilDone),
		r.actor("second", func(context.Context) error { panic("Canary7f3a") })})
	if !errors.Is(err, contain.ErrPanicked) || err.Error() != "running the second: "+contain.ErrPanicked.Error() {
		t.Errorf("runAll: %v, want that the second panicked", err)
	}
	if !slices.Equal(r.ended, []string{"first"}) {
		t.Errorf("ended %v, want the first, in order", r.ended)
	}
}

// TestLoopThatPanics: one that can go on does, and the others never learn of it.
func TestLoopThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		d := &daemon{panics: contain.New("test", nil)}
		var r recorder
		ran := 0
		err := runAll(ctx, d.panics, []actor{r.actor("first", untilDone), r.actor("second", d.again(func(ctx context.Context) error {
			if ran++; ran < 5 {
				panic("Canary7f3a")
			}
			return untilDone(ctx)
		}))})
		if err != nil || ran != 5 || ctx.Err() == nil {
			t.Errorf("runAll: %v; it ran %d times, want 5", err, ran)
		}
	})
}
