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
	last  string    // guarded by mu; the last of them; "" = none yet
	over  bool      // guarded by mu; there are no more
	since time.Time // guarded by mu; when that became so
	what  string    // guarded by mu; what is being done with Set.mu held; "" = nothing
	began time.Time // guarded by mu; when that began
}

// begins notes what is done with Set.mu held, on which all others then wait.
func (p *progress) begins(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what, p.began = what, time.Now()
}

// ends notes that it is done.
func (p *progress) ends() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.what = ""
}

// done notes that a site is read in its turn, or was refused.
func (p *progress) done(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read++
	p.last, p.since = name, time.Now()
}

// allDone notes that there are no more sites.
func (p *progress) allDone() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over, p.since = true, time.Now()
}

// waitsFor says in words what is being read.
func (p *progress) waitsFor() (what string, read int, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.what != "": // of a site whose turn it is, or for which somebody came
		return p.what, p.read, p.began
	case p.over:
		what = "nothing more: all sites are read"
	case p.last != "":
		what = "the settings of the site that comes after " + p.last
	default:
		what = "the settings of the first site"
	}
	return what, p.read, p.since
}

// watchSlow begins to read all sites: it tells once if that takes very long, and what
// it waits for. Whoever reads calls stop at the end.
func (s *Set[T]) watchSlow() (stop func()) {
	p := &s.progress
	p.mu.Lock()
	p.read, p.last, p.over, p.since = 0, "", false, time.Now()
	p.mu.Unlock()
	timer := time.AfterFunc(slowReading, func() {
		what, read, since := p.waitsFor()
		s.log.Warn("reading the sites takes very long; those that were read are served", zap.Int("sites_read", read),
			zap.String("waits_for", what), zap.Duration("for", time.Since(since).Round(time.Second)),
			zap.String("fix", "See whether the disk, the share or the storage answers that holds what it waits for: reading it by hand as the user of wellkey shows that. "+
				"Where it is only slow, keep sites_dir and the files of the sites on a local disk. It goes on by itself."))
	})
	return func() { timer.Stop() }
}
