package headroom

import "time"

// A Keeper chooses GOGC and the limit of memory.
type Keeper struct{ *keeper }

// NewKeeper returns that of a process which may have so many bytes, 0 being any number.
func NewKeeper(most uint64) Keeper { return Keeper{newKeeper(most)} }

// After returns the GOGC that follows a collection, and has it.
func (k Keeper) After(alive uint64, now time.Time) int {
	k.percent = k.after(alive, now)
	return k.percent
}

// LimitFor returns the limit that follows a collection.
func (k Keeper) LimitFor(left uint64) uint64 { return k.limitFor(left) }

// Left returns what no collection gives back.
func Left() uint64 { return left() }
