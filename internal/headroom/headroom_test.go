package headroom_test

import (
	"context"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/headroom"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestAfter: while collections follow each other the headroom is what may be made
// between two, whatever is alive. GOGC is less than usual where a heap would not stay
// modest, and never less than half.
func TestAfter(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	k, now := headroom.NewKeeper(24*mb), time.Unix(0, 0)
	for i, step := range []struct {
		later time.Duration
		alive uint64
		want  int
	}{
		{time.Hour, 3 * mb, 100},             // the first
		{2 * time.Second, 3 * mb, 100},       // nobody is in a hurry
		{10 * time.Millisecond, 3 * mb, 675}, // much is asked
		{5 * time.Second, 3 * mb, 675},       // they are rarer now
		{5 * time.Second, 33 * mb / 10, 675}, // not worth a stop of the world
		{time.Second, 6 * mb, 400},
		{time.Second, 100 * mb, 100}, // a large heap has room enough
		{time.Millisecond, 30 * mb, 100},
		{time.Millisecond, 42 * mb, 57},
		{time.Millisecond, 44 * mb, 57}, // as good
		{time.Millisecond, 65 * mb, 100},
		{time.Millisecond, 63 * mb, 38},
		{time.Millisecond, 60 * mb, 38}, // as good
		{time.Minute, 60 * mb, 100},     // it is over
		{time.Millisecond, 0, 600},
		{time.Millisecond, 3 * mb, 600},
		{time.Minute, 3 * mb, 100}, // it is over
	} {
		now = now.Add(step.later)
		if got := k.After(step.alive, now); got != step.want {
			t.Errorf("step %d: GOGC is %d, want %d", i, got, step.want)
		}
	}
}

var garbage []byte // on the heap, since all may see it

// TestKeep: GOGC is raised while much garbage is made, and is the usual one after the
// end. It is the process's, so nothing runs beside it.
func TestKeep(t *testing.T) {
	before := gogc()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		headroom.Keep(ctx, 64<<20)
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
	cancel()
	<-ended
	if got := gogc(); got != before {
		t.Errorf("GOGC is %d after the end, want %d", got, before)
	}
}

func gogc() uint64 {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
