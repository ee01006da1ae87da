package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testworld"
	"wellkey/registrar"
)

// worldDomain is the domain that a world is made for; it hosts nothing here.
const worldDomain = "world.soak.example.com"

const (
	steadySites = 3 // that are there all the time, and that clients visit

	// lifetime is how long certificates live: short enough that, besides those
	// that the operator asks for, some are renewed by themselves in an hour.
	lifetime = 40 * time.Minute

	// patience is how long to wait for any one thing. It is far more than
	// anything needs, and only a run that fails uses it.
	patience = 3 * time.Minute
)

// A soak is a wellkey in a world, with all that keeps it busy.
type soak struct {
	o       options
	dir     string
	stderr  io.Writer
	w       *testworld.World
	steady  []*site
	passing []*site // that were added and removed; only reload uses it
	p       *testworld.Process
	tallies *tallies
	faults  *faults
	start   time.Time
}

// newSoak starts all but wellkey. The caller closes the world.
func newSoak(o options, dir string, stderr io.Writer) (*soak, error) {
	s := &soak{o: o, dir: dir, stderr: stderr, tallies: newTallies(), faults: newFaults()}
	w, err := testworld.Start(testworld.Config{
		Domain:    worldDomain,
		Dir:       dir,
		Profiles:  []testca.Profile{{Name: "classic", CommonName: true, Lifetime: lifetime}},
		OnRequest: func(fleetsim.Request) { s.faults.afterTesla(s.w.Tesla) },
	})
	if err != nil {
		return nil, err
	}
	s.w = w
	s.faults.beforeCA(w.CA)
	for i := range steadySites {
		site, err := newSite(w, dir, i)
		if err != nil {
			return nil, errors.Join(err, w.Close())
		}
		s.steady = append(s.steady, site)
	}
	return s, nil
}

func (s *soak) say(format string, args ...any) {
	fmt.Fprintf(s.stderr, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// run keeps wellkey busy and returns what was seen.
func (s *soak) run(ctx context.Context) (r *result, err error) {
	for _, site := range s.steady {
		if err := site.add(); err != nil {
			return nil, err
		}
	}
	if s.p, err = s.w.Exec(s.o.binary, s.environ(), s.settings()...); err != nil {
		return nil, err
	}
	defer func() {
		if s.o.log != "" {
			err = errors.Join(err, os.WriteFile(s.o.log, []byte(s.p.Log.String()), 0o600))
		}
	}()
	stopped := make(chan int, 1)
	go func() { stopped <- s.p.Wait() }()
	defer func() { _ = s.p.Signal(os.Kill); s.p.Wait() }() // one that has ended gets none
	r = newResult(s)
	if err := s.settle(ctx); err != nil {
		return nil, fmt.Errorf("waiting for all to be registered: %w\n%s", err, tail(s.p.Log.String()))
	}
	if err := s.warm(ctx); err != nil {
		return nil, err
	}
	if r.before, err = s.quiet(ctx); err != nil {
		return nil, err
	}
	s.say("at rest: %s", r.before)
	s.start = time.Now()
	if r.under, err = s.busy(ctx); err != nil {
		return nil, err
	}
	s.say("the load has ended")
	if err := s.settle(ctx); err != nil {
		return nil, fmt.Errorf("waiting for all to be registered after the load: %w\n%s", err, tail(s.p.Log.String()))
	}
	if r.after, err = s.rest(ctx, r.before); err != nil {
		return nil, err
	}
	s.say("at rest: %s", r.after)
	if err := r.counters(ctx); err != nil {
		return nil, err
	}
	if err := s.p.Signal(syscall.SIGTERM); err != nil {
		return nil, err
	}
	select {
	case r.exit = <-stopped:
	case <-time.After(patience):
		r.exit = -1
	}
	r.read(s.p.Log.String())
	return r, nil
}

// environ is the environment of wellkey: that of the program as shipped, but where the
// growth of its memory is judged. With GOGC set there is no headroom, in which memory comes
// and goes by 15 MB: a rise of 1 MB an hour could not be told from that.
func (s *soak) environ() []string {
	environ := []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	if s.o.judged() {
		environ = append(environ, "GOGC=100")
	}
	return environ
}

// settings are those of a wellkey with several sites.
func (s *soak) settings() []string {
	return []string{"DOMAIN", "CREDENTIALS_FILE", "SITES_DIR=" + s.sitesDir()}
}

// warm visits with many at once, since wellkey keeps the goroutines of some handshakes
// for the next: those are no leak.
func (s *soak) warm(ctx context.Context) error {
	const many = 40
	failed := make(chan error, many)
	for range many {
		go func() { failed <- s.served(ctx, s.steady[0]) }()
	}
	var all error
	for range many {
		all = errors.Join(all, <-failed)
	}
	return all
}

func (s *soak) sitesDir() string { return filepath.Join(s.dir, "sites") }

// settle ends all faults and waits until every steady site is served and
// registered.
func (s *soak) settle(ctx context.Context) error {
	s.faults.off(s.w)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, site := range s.steady {
		// What Tesla refused, or failed at, is tried again at once when the
		// credentials change.
		if err := site.credentials(testworld.SecretOf(site.domain)); err != nil {
			return err
		}
	}
	status, err := s.w.AwaitStatus(ctx, func(status admin.Status) bool {
		good := 0
		for _, view := range status.Sites {
			if view.Certificate.Have && registered(view) {
				good++
			}
		}
		return good == steadySites && len(status.Sites) == steadySites
	})
	if err != nil {
		for _, view := range status.Sites {
			s.say("%s: %+v", view.Domain, view.Registrations)
		}
	}
	return err
}

func registered(view admin.SiteView) bool {
	for _, r := range view.Registrations {
		if r.State != registrar.Registered {
			return false
		}
	}
	return len(view.Registrations) > 0
}

// busy keeps wellkey busy for as long as it should be, and returns what its
// measures were.
func (s *soak) busy(ctx context.Context) ([]sample, error) {
	limited, cancel := context.WithTimeout(ctx, s.o.long)
	defer cancel()
	s.faults.on()
	var all sync.WaitGroup
	for _, k := range s.kinds() {
		all.Go(func() { s.keep(limited, k) })
	}
	all.Go(func() { s.reload(limited) })
	all.Go(func() { s.faults.names(limited, s.w, s.steady) })
	samples, err := s.measure(limited)
	cancel()
	all.Wait()
	return samples, errors.Join(err, ctx.Err())
}

// A site is one domain, with its key and its files.
type site struct {
	domain          string
	key             []byte // what must be served
	keyFile         string
	credentialsFile string
	file            string // in the directory of sites
}

// newSite makes a site with all that it needs, but its file in the directory.
func newSite(w *testworld.World, dir string, number int) (*site, error) {
	domain := fmt.Sprintf("s%d.soak.example.com", number)
	s := &site{
		domain:          domain,
		keyFile:         filepath.Join(dir, "keys", domain+".pem"),
		credentialsFile: filepath.Join(dir, "credentials", domain+".yaml"),
		file:            filepath.Join(dir, "sites", domain+".yaml"),
	}
	for _, path := range []string{s.keyFile, s.credentialsFile, s.file} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
	}
	w.AddDomain(domain)
	var err error
	if s.key, err = publicKey(); err != nil {
		return nil, err
	}
	return s, errors.Join(swap(s.keyFile, s.key), s.credentials(testworld.SecretOf(domain)))
}

// add puts the site into the directory of sites.
func (s *site) add() error {
	return swap(s.file, fmt.Appendf(nil, "key_file: %q\ncredentials_file: %q\n", s.keyFile, s.credentialsFile))
}

// remove takes it away.
func (s *site) remove() error { return os.Remove(s.file) }

// credentials writes the credentials with a secret.
func (s *site) credentials(secret string) error {
	return swap(s.credentialsFile, fmt.Appendf(nil, "client_id: %q\nclient_secret: %q\n", s.domain, secret))
}

// swap puts a file in place of another one, whole at once as tools do.
func swap(path string, data []byte) error {
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(beside, data, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, path)
}

// served fetches the key of a site until it comes; the error is that of ctx, or of
// a wrong byte.
func (s *soak) served(ctx context.Context, of *site) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		visit, err := s.w.FetchOf(ctx, of.domain)
		if err == nil && visit.Status == http.StatusOK {
			return right(of, visit.Body)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", of.domain, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}
