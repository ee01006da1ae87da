package cli

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/footprint"
)

const (
	// manySites is from how many on the memory that looking at them takes is worth the
	// time of the garbage collector.
	manySites = 1000

	// loadingPercent is GOGC while the certificates of many sites are loaded, and they are
	// looked at for the first time: most of what is made then is garbage at once, and would double what the
	// process holds for good.
	loadingPercent = 30

	// longestLoading is for how long the work for all sites waits until they were read,
	// and then the usual GOGC until that rests: one of many sites may be what reading
	// them always panics or hangs at, or is tried again for ever, and shall stop no other.
	longestLoading = 10 * time.Minute

	// longestLook is for how long registrations wait for a storage that does not say
	// which certificates there are.
	longestLook = time.Minute
)

// hostSites reads the sites and follows them until ctx is done.
func (d *daemon) hostSites(ctx context.Context) error {
	if !d.many() {
		return d.sites.Run(ctx)
	}
	following, stop := context.WithCancel(ctx)
	var settled sync.WaitGroup
	settled.Go(func() {
		d.awaitLoaded(following) // visitors wait for that, and it makes little
		usual := debug.SetGCPercent(loadingPercent)
		if usual < loadingPercent {
			debug.SetGCPercent(usual) // GOGC is lower, or off
		}
		d.panics.Do(func() { d.settle(following) })
		debug.SetGCPercent(usual)
		if following.Err() == nil {
			debug.FreeOSMemory() // what all that took
		}
		select {
		case <-d.settled: // it panicked, and this is again
		default:
			close(d.settled)
		}
	})
	defer settled.Wait()
	defer stop()
	return d.sites.Run(ctx)
}

// many reports whether there are so many sites that the order of the work counts.
func (d *daemon) many() bool { return d.settings.Several() && d.settings.Listed() >= manySites }

// awaitLoaded waits until many sites were all read, for longestLoading at most: a
// visitor's site and certificate are read when they are asked for, and the rest of the
// work serves nobody.
func (d *daemon) awaitLoaded(ctx context.Context) {
	if !d.many() {
		return
	}
	limited, cancel := context.WithTimeout(ctx, longestLoading)
	defer cancel()
	select {
	case <-limited.Done():
	case <-d.loaded:
	}
}

// certify keeps the certificates current until ctx is done.
func (d *daemon) certify(ctx context.Context) error {
	d.awaitLoaded(ctx)
	return d.certificates.Run(ctx)
}

// register keeps the registrations true until ctx is done. Of many sites it is first
// known which have a certificate, so that none is reported to have none.
func (d *daemon) register(ctx context.Context) error {
	d.awaitLoaded(ctx)
	if certificates, works := d.certificates.(interface{ Looked() bool }); works && d.many() {
		limited, cancel := context.WithTimeout(ctx, longestLook)
		defer cancel()
		poll(limited, time.Second/10, certificates.Looked)
	}
	return d.registrar.Run(ctx)
}

// endStart gives back, once all that the start began is done, what that took of the
// program itself. What it took of the heap was given back before; of few sites that
// is next to nothing.
func (d *daemon) endStart(ctx context.Context) error {
	if d.many() {
		d.awaitSettled(ctx)
	} else {
		d.settle(ctx)
	}
	if ctx.Err() == nil && d.own {
		if err := footprint.Drop(); err != nil {
			d.log.Debug("the program keeps the memory of its start", zap.Error(err))
		}
	}
	<-ctx.Done()
	return nil
}

// awaitSettled waits until hostSites is done with what the start of many sites took.
func (d *daemon) awaitSettled(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-d.settled:
	}
}

// settle waits until all sites were read, and what that began is done, for
// longestLoading at most.
func (d *daemon) settle(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, longestLoading)
	defer cancel()
	if d.settings.Several() {
		select {
		case <-limited.Done():
			return
		case <-d.loaded:
		}
	}
	poll(limited, time.Second, d.resting)
}

// poll asks at intervals whether something holds, until it does or ctx is done.
func poll(ctx context.Context, every time.Duration, holds func() bool) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for tick(ctx, ticker) && !holds() {
	}
}

// resting reports whether neither certificates nor registrations are worked on.
func (d *daemon) resting() bool {
	certificates, works := d.certificates.(interface{ Resting() bool })
	return d.registrar.Resting() && (!works || certificates.Resting())
}
