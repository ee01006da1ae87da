// Package registrar keeps the registrations of domains with Tesla true: for
// every site and region it observes, decides, acts and waits.
//
// One job a site looks at the domain from outside and sees to it that there is a
// key; one job a region runs the reconcile step (decide) and carries out its one
// action. A bounded number of them run side by side, in the order in which they
// became due, so neither regions nor sites wait for one that hangs. The package
// never calls the server: it sees the domain only as Tesla does, from outside.
//
// What Tesla answered and what failed is kept in the storage, so that a restart
// with nothing changed asks for nothing. Credentials, certificate and key are
// read anew at every step; Wake tells that one of them changed.
package registrar

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/contain"
	"wellkey/internal/schedule"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// A Site is one domain with its key, application and regions.
type Site struct {
	Domain  string
	Regions []fleetapi.Region
	// Accept reports whether the operator allowed key to replace the registered
	// key over; nil allows nothing. It is asked only where there is such a pair.
	Accept func(key, over keystore.Key) bool
	Keys   KeyStore
	// Application returns the application in use, or the zero Application while
	// there are no credentials.
	Application func() Application
	// Certificate reports whether TLS is served for the domain, by us or by
	// whatever stands before us.
	Certificate func() bool
}

// An Application is a client of the Fleet API under one pair of credentials.
type Application struct {
	ClientID string
	Digest   string // changes when the id or the secret does; reveals neither
	Fault    string // why those that were given cannot be used, without them; "" unless ClientID is ""
	Place    string // where they belong, and what then is to be done, as in "into the credentials file; ..."; likewise
	API      API
}

// API is the consumer contract for the Fleet API client.
type API interface {
	Register(ctx context.Context, region fleetapi.Region, domain string) (fleetapi.Account, error)
	PublicKey(ctx context.Context, region fleetapi.Region, domain string) (string, error)
}

// KeyStore is the consumer contract for the key of a site.
type KeyStore interface {
	Key() keystore.Key
	Generate() (keystore.Key, error)
	Restore(keystore.Key) error
}

// Prober is the consumer contract for the look from outside.
type Prober interface {
	Check(ctx context.Context, domain string, want keystore.Key) reach.Report
}

// Config is what a Registrar needs.
type Config struct {
	Sites   []Site
	Prober  Prober
	Storage Storage
	// Shared says that other replicas use the storage, too. Then each action is
	// taken under a lock and on what the record says there, so that one acts and
	// the others see what came of it; and no key is made, since theirs would be
	// another.
	Shared     bool
	Registerer prometheus.Registerer // receives how many panics there were; nil = nobody
	Logger     *zap.Logger           // nil logs nothing
}

// workers is how many looks and requests are made side by side. Each mostly waits
// for the network, up to half a minute.
const workers = 64

// A Registrar keeps the registrations of its sites true. All its methods are
// safe for concurrent use.
type Registrar struct {
	config Config // without its sites
	queue  *schedule.Queue

	mu    sync.Mutex
	sites map[string]*site // guarded by mu; by domain
}

// New returns a Registrar for the sites of c. It starts nothing.
func New(c Config) (*Registrar, error) {
	if c.Prober == nil || c.Storage == nil {
		return nil, errors.New("making a registrar: a prober and a storage are required")
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	c.Logger = c.Logger.Named("registrar")
	panics := contain.New("registrar", c.Logger)
	if c.Registerer != nil {
		if err := c.Registerer.Register(panics); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	r := &Registrar{config: c, queue: schedule.New(workers, panics), sites: map[string]*site{}}
	r.config.Sites = nil
	for _, s := range c.Sites {
		if err := r.Add(s); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Add takes in another site, while Run runs or before it.
func (r *Registrar) Add(s Site) error {
	if s.Domain == "" || len(s.Regions) == 0 || s.Keys == nil || s.Application == nil || s.Certificate == nil {
		return fmt.Errorf("making a registrar: site %q is incomplete", s.Domain)
	}
	added := newSite(s, r.config)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sites[s.Domain] != nil {
		return fmt.Errorf("making a registrar: site %q is there twice", s.Domain)
	}
	r.sites[s.Domain] = added
	added.start(r.queue)
	return nil
}

// Remove ends the work for a domain and returns when none is under way any more.
// What is remembered of it stays in the storage, and the registration with Tesla.
// It reports whether there was such a site.
func (r *Registrar) Remove(domain string) bool {
	r.mu.Lock()
	removed := r.sites[domain]
	delete(r.sites, domain)
	r.mu.Unlock()
	if removed == nil {
		return false
	}
	removed.end()
	return true
}

// Run keeps the registrations true until ctx is done. It returns nil after the
// last request has ended.
func (r *Registrar) Run(ctx context.Context) error { return r.queue.Run(ctx) }

// Resting reports whether there is nothing to do now.
func (r *Registrar) Resting() bool { return r.queue.Resting() }

// Wake tells that the key, the certificate or the credentials of a site may
// have changed: the site is reconsidered at once, and looked at again if the last
// look found a fault. It does not block.
func (r *Registrar) Wake(domain string) {
	r.mu.Lock()
	s := r.sites[domain]
	r.mu.Unlock()
	if s != nil {
		s.doubtLook()
		s.wake()
	}
}
