package headroom_test

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/headroom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAfter: while collections follow each other the headroom is what may be made
// between two, whatever is alive, and GOGC is never less than usual.
func TestAfter(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	k, now := headroom.NewKeeper(0), time.Unix(0, 0)
	for i, step := range []struct {
		later time.Duration
		alive uint64
		want  int
	}{
		{time.Hour, 3 * mb, 100},             // the first
		{2 * time.Second, 3 * mb, 100},       // nobody is in a hurry
		{10 * time.Millisecond, 3 * mb, 475}, // much is asked
		{5 * time.Second, 3 * mb, 475},       // they are rarer now
		{5 * time.Second, 33 * mb / 10, 475}, // not worth a stop of the world
		{time.Second, 8 * mb, 200},
		{time.Second, 100 * mb, 100}, // a large heap has room enough
		{time.Millisecond, 30 * mb, 100},
		{time.Millisecond, 2 * mb, 450},
		{time.Minute, 2 * mb, 100}, // it is over
		{time.Millisecond, 0, 400},
		{time.Millisecond, 2 * mb, 400}, // as good
		{time.Minute, 3 * mb, 100},      // it is over
	} {
		now = now.Add(step.later)
		if got := k.After(step.alive, now); got != step.want {
			t.Errorf("step %d: GOGC is %d, want %d", i, got, step.want)
		}
	}
}

// TestLimit: it leaves the headroom beside what a collection left, as long as that is
// modest, and is never more than others allow.
func TestLimit(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	unbound, small := headroom.NewKeeper(0), headroom.NewKeeper(80*mb)
	for _, tc := range []struct {
		left, unbound, small uint64
	}{
		{0, 72 * mb, 72 * mb},
		{56 * mb, 72 * mb, 72 * mb},
		{56*mb + 1, 76 * mb, 72 * mb},
		{60 * mb, 76 * mb, 72 * mb},
		{64 * mb, 80 * mb, 74 * mb},
		{80*mb - 1, 96 * mb, 80 * mb},
		{80 * mb, math.MaxInt64, 80 * mb},
	} {
		if got := unbound.LimitFor(tc.left); got != tc.unbound {
			t.Errorf("with %d left the limit is %d, want %d", tc.left, got, tc.unbound)
		}
		if got := small.LimitFor(tc.left); got != tc.small {
			t.Errorf("with %d left of 80 MB the limit is %d, want %d", tc.left, got, tc.small)
		}
	}
}

// TestLeft: stacks count, also the part that nothing is on, and garbage does not.
func TestLeft(t *testing.T) {
	const many, stack = 1000, 64 << 10 // a stack doubles when it is full
	runtime.GC()
	before := headroom.Left()
	deep, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	for range many {
		go dive(40, func() {
			deep <- struct{}{}
			<-end
		})
	}
	for range many {
		<-deep
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.GC()
	garbage = make([]byte, 4*many*stack)
	defer func() { garbage = nil }()
	if got := headroom.Left() - before; got < many*stack*3/4 || got > many*stack*3/2 {
		t.Errorf("%d stacks of %d count as %d", many, stack, got)
	}
}

// dive calls f below n kilobytes of stack.
//
//go:noinline
func dive(n int, f func()) byte {
	var words [1024]byte
	if n > 0 {
		words[n] = dive(n-1, f)
	} else {
		f()
	}
	return words[n]
}

var garbage []byte // on the heap, since all may see it

// TestKeep: GOGC is raised while much garbage is made, and memory has a limit; after the
// end both are as before. They are the process's, so nothing runs beside it.
func TestKeep(t *testing.T) {
	before, limit := gogc(), debug.SetMemoryLimit(-1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		headroom.Keep(ctx, 0)
	}()
	for gogc() == before {
		if ctx.Err() != nil {
			t.Fatal("GOGC was never raised")
		}
		for range 100 {
			garbage = make([]byte, 64<<10)
		}
		runtime.Gosched()
	}
	if got := debug.SetMemoryLimit(-1); got != 72<<20 {
		t.Errorf("the limit is %d, want 72 MB", got)
	}
	cancel()
	<-ended
	if got := gogc(); got != before {
		t.Errorf("GOGC is %d after the end, want %d", got, before)
	}
	if got := debug.SetMemoryLimit(-1); got != limit {
		t.Errorf("the limit is %d after the end, want %d", got, limit)
	}
}

func gogc() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
