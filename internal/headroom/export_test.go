package headroom

import "time"

// A Keeper chooses GOGC.
type Keeper struct{ keeper }

// NewKeeper returns one with a headroom of so many bytes.
func NewKeeper(size uint64) *Keeper { return &Keeper{keeper{size: size, percent: usual}} }

// After returns what follows a collection, and has it.
func (k *Keeper) After(alive uint64, now time.Time) int {
	k.percent = k.after(alive, now)
	return k.percent
}
