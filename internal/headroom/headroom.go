// Package headroom has the collector of garbage run seldom while much is asked of a
// process whose heap is small. GOGC lets a heap double before it is looked over
// again: one of 3 MB is looked over every 50 visits then, which takes a tenth of
// their processor time. So while there is work, a fixed amount may be made between
// two collections, and one that is no longer small is kept modest; while there is
// none, GOGC alone rules, and memory is given back.
package headroom

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	// usualSize is how many bytes may be made between two collections. More saves little:
	// a heap of 3 MB is looked over every 270 visits with it.
	usualSize = 16 << 20

	// busy is how soon after each other two collections come where there is work.
	busy = time.Second

	// modest is what a heap that is smaller may grow to while there is much work, though
	// always by a third: hostile connections have up to 50 MB in use, which would double. A
	// heap that is larger is what the operator wants, such as many sites.
	modest = 64 << 20

	// calm is how long none comes where there is no work any more.
	calm = 10 * time.Second
)

// usual is GOGC where nobody has chosen another.
const usual = 100

// least is what a heap may grow to before it is looked over at all, times GOGC/100: see
// heapMinimum in runtime/mgcpacer.go. With a GOGC of 6400 that is 256 MB.
const least = 4 << 20

// Keep keeps the headroom until ctx is done: of limit, the bytes that the process may
// have, it is an eighth at most; 0 is where that is not known. It is not for a process
// for which somebody has set GOGC.
func Keep(ctx context.Context, limit uint64) {
	size := uint64(usualSize)
	if limit > 0 {
		size = min(size, limit/8)
	}
	k := &keeper{size: size, percent: usual, collected: make(chan struct{}, 1)}
	k.watch()
	defer k.set(usual)
	defer k.ended.Store(true)
	var pause <-chan time.Time // nil while GOGC is the usual
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.collected:
			k.set(k.after(multiplied(), time.Now()))
		case <-pause:
			k.set(usual)
			debug.FreeOSMemory() // it would be minutes until the next collection
		}
		pause = nil
		if k.percent != usual {
			pause = time.After(calm)
		}
	}
}

// A keeper sets GOGC.
type keeper struct {
	size      uint64
	percent   int           // GOGC as it is set
	last      time.Time     // when the last collection was
	collected chan struct{} // has one after a collection
	ended     atomic.Bool
}

// after returns the GOGC that follows a collection after which so many bytes count. It
// stays as it is where it is nearly right, since to set it stops the world.
func (k *keeper) after(alive uint64, now time.Time) int {
	took := now.Sub(k.last)
	k.last = now
	if took > calm || took > busy && k.percent == usual {
		return usual
	}
	floor := usual
	if alive < modest {
		floor = min(usual, max(usual/3, int((modest-alive)*100/max(alive, 1)))) // #nosec G115 -- as many as percent of 64 MB
	}
	wanted := max(floor, int(min(k.size*100/max(alive, 1), (alive+k.size)*100/least, math.MaxInt32)))
	if k.percent != usual && wanted > k.percent*3/4 && wanted < k.percent*5/4 {
		return k.percent
	}
	return wanted
}

func (k *keeper) set(percent int) {
	if percent != k.percent {
		debug.SetGCPercent(percent)
		k.percent = percent
	}
}

// A cycle becomes garbage at once, which the next collection finds out.
type cycle struct{ of *keeper }

// watch has each collection told to k, until it has ended.
func (k *keeper) watch() {
	runtime.AddCleanup(&cycle{k}, func(k *keeper) {
		if k.ended.Load() {
			return
		}
		k.watch()
		select {
		case k.collected <- struct{}{}:
		default:
		}
	}, k)
}

// multiplied returns how many bytes GOGC is a percentage of: what the last collection
// left alive, and where it began to look, stacks above all. Of thousands of
// connections the stacks are more than the heap.
func multiplied() (sum uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}}
	metrics.Read(samples)
	for _, sample := range samples {
		sum += sample.Value.Uint64()
	}
	return sum
}
