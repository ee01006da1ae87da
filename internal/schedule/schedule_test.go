package schedule_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/contain"
	"wellkey/internal/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs f beside a queue, in a bubble with a clock of its own.
func bubble(t *testing.T, workers int, f func(*schedule.Queue)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		q := schedule.New(workers, nil)
		ended := make(chan error)
		go func() { ended <- q.Run(ctx) }()
		f(q)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// add makes a job that is due at once.
func add(q *schedule.Queue, run func(context.Context) time.Time) *schedule.Job {
	j := q.Job(run)
	j.Wake()
	return j
}

func never(context.Context) time.Time { return time.Time{} }

func TestJobRunsWhenItSaid(t *testing.T) {
	bubble(t, 1, func(q *schedule.Queue) {
		began := time.Now()
		var at []time.Duration
		add(q, func(context.Context) time.Time {
			at = append(at, time.Since(began))
			if len(at) == 3 {
				return time.Time{}
			}
			return time.Now().Add(time.Duration(len(at)) * time.Minute)
		})
		time.Sleep(time.Hour) // of the bubble
		synctest.Wait()
		if want := []time.Duration{0, time.Minute, 3 * time.Minute}; !slices.Equal(at, want) {
			t.Errorf("ran at %v, want %v", at, want)
		}
	})
}

func TestWake(t *testing.T) {
	bubble(t, 1, func(q *schedule.Queue) {
		runs := 0
		j := add(q, func(context.Context) time.Time { runs++; return time.Now().Add(time.Hour) })
		synctest.Wait()
		j.Wake()
		j.Wake() // twice before it runs is once
		synctest.Wait()
		if runs != 2 {
			t.Errorf("a waiting job ran %d times after a wake, want 2", runs)
		}
		parked := 0
		p := add(q, func(context.Context) time.Time { parked++; return time.Time{} })
		synctest.Wait()
		p.Wake()
		synctest.Wait()
		if parked != 2 {
			t.Errorf("a job without a time ran %d times after a wake, want 2", parked)
		}
	})
}

func TestWakeWhileItRunsRunsItAgain(t *testing.T) {
	bubble(t, 4, func(q *schedule.Queue) {
		gate := make(chan struct{})
		var runs, side atomic.Int32
		j := add(q, func(context.Context) time.Time {
			if side.Add(1) > 1 {
				t.Error("it runs twice at a time")
			}
			runs.Add(1)
			<-gate
			side.Add(-1)
			return time.Time{}
		})
		synctest.Wait()
		j.Wake()
		j.Wake()
		synctest.Wait()
		close(gate)
		synctest.Wait()
		if got := runs.Load(); got != 2 {
			t.Errorf("ran %d times, want 2", got)
		}
	})
}

func TestWorkersAreBounded(t *testing.T) {
	bubble(t, 3, func(q *schedule.Queue) {
		gate := make(chan struct{})
		var side atomic.Int32
		for range 10 {
			add(q, func(context.Context) time.Time { side.Add(1); <-gate; side.Add(-1); return time.Time{} })
		}
		synctest.Wait()
		if got := side.Load(); got != 3 {
			t.Errorf("%d jobs run side by side, want 3", got)
		}
		close(gate)
	})
}

// A job that is always due again takes its turn behind all others.
func TestNobodyStarves(t *testing.T) {
	bubble(t, 1, func(q *schedule.Queue) {
		var order []string
		greedy := 0
		add(q, func(context.Context) time.Time {
			order = append(order, "greedy")
			if greedy++; greedy == 3 {
				return time.Time{}
			}
			time.Sleep(time.Second)
			return time.Now()
		})
		for _, name := range []string{"a", "b"} {
			add(q, func(context.Context) time.Time { order = append(order, name); return time.Time{} })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []string{"greedy", "a", "b", "greedy", "greedy"}; !slices.Equal(order, want) {
			t.Errorf("order %v, want %v", order, want)
		}
	})
}

func TestRemove(t *testing.T) {
	bubble(t, 2, func(q *schedule.Queue) {
		runs := 0
		waiting := add(q, func(context.Context) time.Time { runs++; return time.Now().Add(time.Minute) })
		var ended atomic.Bool
		running := add(q, func(ctx context.Context) time.Time { <-ctx.Done(); ended.Store(true); return time.Now() })
		synctest.Wait()
		waiting.Remove()
		running.Remove()
		if !ended.Load() {
			t.Error("Remove returned before the job had ended")
		}
		waiting.Wake()
		running.Wake()
		time.Sleep(time.Hour)
		synctest.Wait()
		if runs != 1 {
			t.Errorf("a removed job ran %d times, want 1", runs)
		}
		running.Remove() // once more does no harm
	})
}

func TestRunEndsItsJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		q := schedule.New(1, nil)
		var ended atomic.Bool
		add(q, func(ctx context.Context) time.Time {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended.Store(true)
			return time.Now()
		})
		done := make(chan struct{})
		go func() { _ = q.Run(ctx); close(done) }()
		synctest.Wait()
		cancel()
		<-done
		if !ended.Load() {
			t.Error("Run returned before its job")
		}
	})
}

// Adding one job to very many costs what one costs.
func BenchmarkAddToMany(b *testing.B) {
	q := schedule.New(1, nil)
	for range 100_000 {
		add(q, never)
	}
	b.ReportAllocs()
	for b.Loop() {
		add(q, never).Remove()
	}
}

// TestBegunWorkComesToItsEnd: with one worker, jobs of several steps run one after
// the other, and not the first step of each first.
func TestBegunWorkComesToItsEnd(t *testing.T) {
	bubble(t, 1, func(q *schedule.Queue) {
		var ran []string
		free := make(chan struct{})
		add(q, func(context.Context) time.Time { <-free; return time.Time{} })
		for _, name := range []string{"a", "b", "c"} {
			steps := 0
			var j *schedule.Job
			j = add(q, func(context.Context) time.Time {
				ran = append(ran, name)
				if steps++; steps < 3 {
					j.Continue()
				}
				return time.Time{}
			})
		}
		close(free)
		synctest.Wait()
		if want := []string{"a", "a", "a", "b", "b", "b", "c", "c", "c"}; !slices.Equal(ran, want) {
			t.Errorf("ran %v, want %v", ran, want)
		}
	})
}

// TestEndlessWorkStarvesNobody: a job that always goes on does not keep the others
// from running.
func TestEndlessWorkStarvesNobody(t *testing.T) {
	bubble(t, 1, func(q *schedule.Queue) {
		endless, others, over := 0, 0, false
		free := make(chan struct{})
		add(q, func(context.Context) time.Time { <-free; return time.Time{} })
		var j *schedule.Job
		j = add(q, func(context.Context) time.Time {
			if endless++; !over {
				j.Continue()
			}
			return time.Time{}
		})
		for range 10 {
			add(q, func(context.Context) time.Time {
				if others++; others == 10 {
					over = true
				}
				return time.Time{}
			})
		}
		close(free)
		synctest.Wait()
		if others != 10 || endless < 2 || endless > 20 {
			t.Errorf("the endless job ran %d times, the others %d times", endless, others)
		}
	})
}

// TestContinueAfterARest: a job whose time is to come goes on at once, and so does
// one that never ran.
func TestContinueAfterARest(t *testing.T) {
	bubble(t, 1, func(q *schedule.Queue) {
		ran := 0
		j := q.Job(func(context.Context) time.Time { ran++; return time.Now().Add(time.Hour) })
		for want := 1; want <= 3; want++ {
			j.Continue()
			synctest.Wait()
			if ran != want {
				t.Errorf("ran %d times, want %d", ran, want)
			}
		}
		j.Remove()
		j.Continue()
		synctest.Wait()
		if ran != 3 {
			t.Error("a removed job ran")
		}
	})
}

func TestResting(t *testing.T) {
	bubble(t, 1, func(q *schedule.Queue) {
		if !q.Resting() {
			t.Error("a queue without jobs does not rest")
		}
		free := make(chan struct{})
		add(q, func(context.Context) time.Time { <-free; return time.Now().Add(time.Hour) })
		synctest.Wait()
		if q.Resting() {
			t.Error("rests while a job runs")
		}
		second := q.Job(never)
		second.Wake()
		close(free)
		synctest.Wait()
		if !q.Resting() {
			t.Error("does not rest though all that is left is due in an hour")
		}
	})
}

// TestPanic: a job that panics runs again later, each time after a longer pause, and
// the others run meanwhile; one that is well again is as before.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		q := schedule.New(1, contain.New("test", nil))
		ended := make(chan error)
		go func() { ended <- q.Run(ctx) }()
		began := time.Now()
		var at []time.Duration
		var bad *schedule.Job
		bad = q.Job(func(context.Context) time.Time {
			at = append(at, time.Since(began))
			if len(at) <= 10 {
				bad.Wake()
			}
			if len(at) <= 8 {
				panic("always")
			}
			began = time.Now()
			if len(at) == 10 {
				panic("once more")
			}
			return time.Time{}
		})
		bad.Wake()
		good := 0
		add(q, func(context.Context) time.Time { good++; return time.Now().Add(time.Minute) })
		time.Sleep(4 * time.Hour) // of the bubble
		synctest.Wait()
		minutes := func(m ...int) (all []time.Duration) {
			for _, m := range m {
				all = append(all, time.Duration(m)*time.Minute)
			}
			return all
		}
		// The ninth run wakes itself and is well, so the tenth follows at once.
		if want := minutes(0, 1, 3, 7, 15, 31, 63, 123, 183, 0, 1); len(at) < len(want) || !slices.Equal(at[:len(want)], want) {
			t.Errorf("ran at %v, want %v", at, want)
		}
		if good != 4*60+1 {
			t.Errorf("the other job ran %d times", good)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
