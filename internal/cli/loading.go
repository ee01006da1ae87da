package cli

import (
	"context"
	"runtime/debug"
)

const (
	// manySites is from how many on the memory that loading them takes is worth the
	// time of the garbage collector.
	manySites = 1000

	// loadingPercent is GOGC while many sites are loaded: most of what is made then
	// is garbage at once, and would double what the process holds for good.
	loadingPercent = 30
)

// hostSites reads the sites and follows them until ctx is done.
func (d *daemon) hostSites(ctx context.Context) error {
	if d.settings.Listed() >= manySites {
		if usual := debug.SetGCPercent(loadingPercent); usual > loadingPercent {
			d.usualGC.Store(int64(usual))
			defer d.slimDown(0)
		} else {
			debug.SetGCPercent(usual) // GOGC is lower, or off
		}
	}
	return d.sites.Run(ctx)
}

// slimDown ends what hostSites began, and gives back to the system what loading
// took.
func (d *daemon) slimDown(int) {
	if usual := d.usualGC.Swap(0); usual != 0 {
		debug.SetGCPercent(int(usual))
		debug.FreeOSMemory()
	}
}
