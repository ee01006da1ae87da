package sites

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// slowReading is for how long all sites are read before a person is told. Of ten
// thousand on a disk it takes seconds, so by then something does not answer.
const slowReading = 10 * time.Minute

// A progress is how far the reading of all sites has come.
type progress struct {
	mu    sync.Mutex
	read  int       // guarded by mu; how many are done
	name  string    // guarded by mu; the one that is being opened, or was last; "" = none yet
	opens bool      // guarded by mu; it is being opened
	since time.Time // guarded by mu; when that began
}

// opening notes that the settings of a site are read, and its files come next.
func (p *progress) opening(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.opens, p.since = name, true, time.Now()
}

// done notes that a site is read, or was refused.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read++
	p.opens, p.since = false, time.Now()
}

// waitsFor says in words what is being read.
func (p *progress) waitsFor() (what string, read int, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.opens:
		what = "the key, the credentials and the state of " + p.name
	case p.name != "":
		what = "the settings of the site that comes after " + p.name
	default:
		what = "the settings of the first site"
	}
	return what, p.read, p.since
}

// watchSlow begins to read all sites: it tells once if that takes very long, and what
// it waits for. Whoever reads calls stop at the end.
func (s *Set[T]) watchSlow() (p *progress, stop func()) {
	p = &progress{since: time.Now()}
	timer := time.AfterFunc(slowReading, func() {
		what, read, since := p.waitsFor()
		s.log.Warn("reading the sites takes very long; those that were read are served", zap.Int("sites_read", read),
			zap.String("waits_for", what), zap.Duration("for", time.Since(since).Round(time.Second)),
			zap.String("fix", "See whether the disk, the share or the storage answers that holds what it waits for: reading it by hand as the user of wellkey shows that. "+
				"Where it is only slow, keep sites_dir and the files of the sites on a local disk. It goes on by itself."))
	})
	return p, func() { timer.Stop() }
}
