// Package headroom has the collector of garbage run seldom while much is asked of a
// process whose heap is small. GOGC lets a heap double before it is looked over
// again: one of 3 MB is looked over every 50 visits then, which takes a tenth of
// their processor time. So while there is work, a fixed amount may be made between
// two collections; while there is none, GOGC alone rules, and memory is given back.
// And as long as little is in use, a limit holds all of it together, whatever clients do.
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

	// bound is what the runtime may have of the system at least; there is a limit as long as
	// no collection leaves as much as modest. GOGC would let double what hostile connections
	// have in use, and of what was freed the runtime keeps 20 MB in the midst of a flood. More
	// is what the operator wants, such as many sites.
	bound, modest = 72 << 20, 80 << 20

	// step is by how much the limit grows where bound leaves less than the headroom.
	step = 4 << 20

	// calm is how long none comes where there is no work any more.
	calm = 10 * time.Second
)

// usual is GOGC where nobody has chosen another.
const usual = 100

// least is what a heap may grow to before it is looked over at all, times GOGC/100: see
// heapMinimum in runtime/mgcpacer.go. With a GOGC of 6400 that is 256 MB.
const least = 4 << 20

// Keep keeps the headroom until ctx is done: of most, the bytes that the process may
// have, it is an eighth at most; 0 is where that is not known. It is not for a process
// for which somebody has set GOGC.
func Keep(ctx context.Context, most uint64) {
	k := newKeeper(most)
	k.watch()
	defer k.set(usual, k.most)
	defer k.ended.Store(true)
	var pause <-chan time.Time // nil while GOGC is the usual
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.collected:
			k.set(k.after(multiplied(), time.Now()), k.limitFor(left()))
		case <-pause:
			k.set(usual, k.limit)
			debug.FreeOSMemory() // it would be minutes until the next collection
		}
		pause = nil
		if k.percent != usual {
			pause = time.After(calm)
		}
	}
}

// A keeper sets GOGC and the limit of memory.
type keeper struct {
	size      uint64        // the headroom
	most      uint64        // the limit that others have set; math.MaxInt64 is none
	percent   int           // GOGC as it is set
	limit     uint64        // the limit as it is set
	last      time.Time     // when the last collection was
	collected chan struct{} // has one after a collection
	ended     atomic.Bool
}

func newKeeper(most uint64) *keeper {
	if most == 0 {
		most = math.MaxInt64
	}
	return &keeper{size: min(usualSize, most/8), most: most, percent: usual, limit: most, collected: make(chan struct{}, 1)}
}

// after returns the GOGC that follows a collection after which so many bytes count. It
// stays as it is where it is nearly right, since to set it stops the world.
func (k *keeper) after(alive uint64, now time.Time) int {
	took := now.Sub(k.last)
	k.last = now
	if took > calm || took > busy && k.percent == usual {
		return usual
	}
	wanted := max(usual, int(min(k.size*100/max(alive, 1), (alive+k.size)*100/least, math.MaxInt32)))
	if k.percent != usual && wanted > k.percent*3/4 && wanted < k.percent*5/4 {
		return k.percent
	}
	return wanted
}

// limitFor returns the limit that follows a collection which left so many bytes. It always
// leaves the headroom: a limit that is nearly reached has everything wait for collections.
func (k *keeper) limitFor(left uint64) uint64 {
	if left >= modest {
		return k.most
	}
	return min(k.most, max(bound, (left+step-1)/step*step+k.size))
}

// set has them set where they differ, since each stops the world.
func (k *keeper) set(percent int, limit uint64) {
	if limit != k.limit {
		debug.SetMemoryLimit(int64(limit)) // #nosec G115 -- math.MaxInt64 at most
		k.limit = limit
	}
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
func multiplied() uint64 {
	n := read("/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes")
	return n[0] + n[1] + n[2]
}

// left returns how many bytes of what the runtime has of the system no collection gives
// back: what the last one left alive, stacks, gaps, and the runtime's own.
func left() uint64 {
	n := read("/gc/heap/live:bytes", "/memory/classes/total:bytes", "/memory/classes/heap/objects:bytes",
		"/memory/classes/heap/free:bytes", "/memory/classes/heap/released:bytes")
	return n[0] + n[1] - n[2] - n[3] - n[4]
}

// read returns what metrics of the runtime are.
func read(names ...string) []uint64 {
	samples := make([]metrics.Sample, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	values := make([]uint64, len(names))
	for i, sample := range samples {
		values[i] = sample.Value.Uint64()
	}
	return values
}
