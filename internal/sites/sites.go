// Package sites keeps what a process hosts in step with the sites that its
// settings list: a site that is added, changed or removed there is opened, changed
// or closed here, without a restart. A bad one is reported, and leaves the others
// alone; where it was good before, it goes on as it was.
//
// What a site is made of, this package does not know: whoever wires the process
// opens and closes it. Looking a site up by its domain takes no lock, at any number
// of sites.
package sites

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/config"
)

// Config says where sites are listed and what to do with them.
type Config[T any] struct {
	// Settings list the sites.
	Settings *config.Settings
	// Load reads the settings again, where they are in a file that may change; nil
	// = they do not change.
	Load func() (*config.Settings, error)
	// Open makes a site and begins its work. Former is the same site as it was
	// before, the zero T where it is new: once Open returns without an error,
	// nothing of former is used any more.
	Open func(site config.Site, former T) (T, error)
	// Close ends the work of a site.
	Close func(T)
	// Loaded is told how many sites there are, when Run has read all; nil = nobody.
	Loaded func(sites int)
	// Logger may be nil.
	Logger *zap.Logger
}

// A Set holds the sites of a process. Its methods are safe for concurrent use.
type Set[T any] struct {
	cfg     Config[T]
	log     *zap.Logger
	current sync.Map // domain -> *entry[T]
	count   atomic.Int64
	loaded  atomic.Bool // all sites were read once

	reading  sync.Mutex                               // held while settings, or files of sites, are read because they may have changed
	mu       sync.Mutex                               // held while one site changes; comes after reading
	settings *config.Settings                         // guarded by mu; changed with reading held, too
	find     func(domain string) (config.Site, error) // likewise; of settings
	early    map[string]bool                          // guarded by mu; what Find opened before its turn

	progress progress // of reading all

	faultsMu sync.Mutex
	faults   map[string]error // guarded by faultsMu; by the name of the site
}

// An entry is one site, and what was written of it. It never changes.
type entry[T any] struct {
	site  config.Site
	value T
}

// New returns a Set without sites; Reload or Run read them.
func New[T any](c Config[T]) *Set[T] {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Loaded == nil {
		c.Loaded = func(int) {}
	}
	return &Set[T]{cfg: c, log: c.Logger.Named("sites"), settings: c.Settings, faults: map[string]error{}, early: map[string]bool{}, find: c.Settings.SiteFinder()}
}

// Get returns the site of a domain. It takes no lock and makes no garbage.
func (s *Set[T]) Get(domain string) (site T, ok bool) {
	if e, ok := s.current.Load(domain); ok {
		return e.(*entry[T]).value, true
	}
	return site, false
}

// Find is Get for whoever has a visitor: until all sites were read once, one that
// is not there yet is read at once, before those whose turn it is. It waits for
// one site that is being opened, at most.
func (s *Set[T]) Find(domain string) (site T, ok bool) {
	if site, ok = s.Get(domain); ok || s.Loaded() {
		return site, ok
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if site, ok = s.Get(domain); ok || s.Loaded() {
		return site, ok
	}
	defer s.progress.ends()
	s.progress.begins("the settings of " + domain)
	if read, err := s.find(domain); err != nil || s.set(read) != nil {
		return site, false // reported when it is read in its turn
	}
	s.early[domain] = true
	return s.Get(domain)
}

// Len returns how many sites there are.
func (s *Set[T]) Len() int { return int(s.count.Load()) }

// Loaded reports whether all sites were read once.
func (s *Set[T]) Loaded() bool { return s.loaded.Load() }

// All calls yield for each site, in no order, until it returns false.
func (s *Set[T]) All(yield func(domain string, site T) bool) {
	s.current.Range(func(domain, e any) bool { return yield(domain.(string), e.(*entry[T]).value) })
}

// Faults returns what is wrong with sites, by their names, as of their last look.
func (s *Set[T]) Faults() map[string]error {
	s.faultsMu.Lock()
	defer s.faultsMu.Unlock()
	return maps.Clone(s.faults)
}

// Reload reads the settings and all sites. An error tells all that is wrong; what
// was good before goes on as it was.
func (s *Set[T]) Reload(ctx context.Context) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.cfg.Load != nil {
		settings, err := s.cfg.Load()
		s.note(s.cfg.Settings.File, err)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.settings, s.find = settings, settings.SiteFinder()
		s.mu.Unlock()
	}
	return s.readAll(ctx)
}

// readAll is called with reading held.
func (s *Set[T]) readAll(ctx context.Context) error {
	listed := map[string]bool{}
	var again []string // in their order: those that came before their turn, and those that were refused
	faults := map[string]error{}
	defer s.watchSlow()()
	for site, err := range s.settings.Sites() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name := site.Domain
		if broken := (*config.SiteError)(nil); errors.As(err, &broken) {
			name = broken.Name
		}
		listed[name] = true
		early := false
		if err == nil {
			err, early = s.take(site, name)
		}
		if err != nil {
			faults[name] = err
		}
		if err != nil || early {
			again = append(again, name)
		}
		s.progress.done(name)
	}
	s.progress.allDone()
	if len(faults) > 0 {
		s.settle(again, faults)
	}
	if faults[s.settings.SitesDir] == nil { // else nobody knows what is in it
		for domain := range s.domains() {
			if !listed[domain] {
				s.mu.Lock()
				s.remove(domain)
				s.mu.Unlock()
			}
		}
	}
	for name := range s.Faults() {
		if faults[name] == nil && name != s.cfg.Settings.File {
			s.note(name, nil)
		}
	}
	for name, err := range faults {
		s.note(name, err)
	}
	s.mu.Lock()
	s.loaded.Store(true)
	clear(s.early)
	s.mu.Unlock()
	return errors.Join(slices.Collect(maps.Values(faults))...)
}

// take opens or changes a site that is listed under name, and reports whether it had
// come before its turn.
func (s *Set[T]) take(site config.Site, name string) (err error, early bool) {
	s.mu.Lock()
	defer s.mu.Unlock() // also where it panics
	return s.set(site), s.early[name]
}

// settle decides anew where a site that came before its turn may have what another
// one was refused, so that who comes first does not depend on who is visited first.
func (s *Set[T]) settle(names []string, faults map[string]error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.early) == 0 {
		return
	}
	for domain := range s.early {
		if _, there := s.current.Load(domain); there {
			s.remove(domain)
		}
	}
	defer s.progress.ends()
	for _, name := range names {
		s.progress.begins("the settings of " + name)
		site, err := s.find(name)
		if err == nil {
			err = s.set(site)
		}
		switch {
		case err == nil:
			delete(faults, name)
		case faults[name] == nil || !errors.Is(err, fs.ErrNotExist): // else it is no domain, and was told as it is
			faults[name] = err
		}
	}
}

// update reads the file of one site in sites_dir again.
func (s *Set[T]) update(domain string) {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	site, err := s.find(domain)
	if errors.Is(err, fs.ErrNotExist) {
		s.remove(domain)
		err = nil
	} else if err == nil {
		err = s.set(site)
	}
	s.note(domain, err)
}

// set opens or changes a site. It is called with mu held.
func (s *Set[T]) set(site config.Site) error {
	var former T
	e, there := s.current.Load(site.Domain)
	if there {
		if reflect.DeepEqual(e.(*entry[T]).site, site) {
			return nil
		}
		former = e.(*entry[T]).value
	}
	defer s.progress.ends()
	s.progress.begins("the key, the credentials and the state of " + site.Domain)
	value, err := s.cfg.Open(site, former)
	if err != nil {
		return &config.SiteError{Name: site.Domain, Err: err}
	}
	s.current.Store(site.Domain, &entry[T]{site, value})
	if !there {
		s.count.Add(1)
	}
	if s.loaded.Load() {
		s.log.Info(map[bool]string{true: "site changed", false: "site added"}[there], zap.String("domain", site.Domain))
	}
	for _, warning := range site.SiteWarnings {
		s.log.Warn("setting needs attention", zap.String("domain", site.Domain), zap.String("warning", warning))
	}
	return nil
}

// remove closes a site, if there is one. It is called with mu held.
func (s *Set[T]) remove(domain string) {
	e, there := s.current.LoadAndDelete(domain)
	if !there {
		return
	}
	s.count.Add(-1)
	defer s.progress.ends()
	s.progress.begins("the end of the work of " + domain)
	s.cfg.Close(e.(*entry[T]).value)
	s.log.Info("site removed", zap.String("domain", domain))
}

func (s *Set[T]) domains() map[string]bool {
	all := map[string]bool{}
	for domain := range s.All {
		all[domain] = true
	}
	return all
}

// note takes in what is wrong with a site now, nil = nothing, and logs what is new.
func (s *Set[T]) note(name string, err error) {
	s.faultsMu.Lock()
	was := s.faults[name]
	if err == nil {
		delete(s.faults, name)
	} else {
		s.faults[name] = err
	}
	s.faultsMu.Unlock()
	switch {
	case err == nil && was != nil:
		s.log.Info("site is good again, or gone", zap.String("site", name))
	case err != nil && (was == nil || was.Error() != err.Error()):
		_, hosted := s.current.Load(name)
		s.log.Error("site is bad; the others are not affected", zap.String("site", name), zap.Bool("goes_on_as_before", hosted), zap.Error(err))
	}
}

// Run reads all sites and follows them until ctx is done; then it closes nothing,
// since whoever runs their work ends it. It returns nil.
func (s *Set[T]) Run(ctx context.Context) error {
	watch, stop := s.watch() // before the first look, so that nothing is missed in between
	defer stop()
	began, settingsSeen := time.Now(), s.digest()
	func() {
		s.reading.Lock()
		defer s.reading.Unlock() // also where it panics: then Run runs again
		_ = s.readAll(ctx)       // reported
	}()
	if s.Loaded() {
		s.cfg.Loaded(s.Len())
		s.log.Info("sites loaded", zap.Int("sites", s.Len()), zap.Int("bad", len(s.Faults())), zap.Duration("duration", time.Since(began).Round(time.Millisecond)))
	}
	s.follow(ctx, watch, settingsSeen)
	return nil
}
