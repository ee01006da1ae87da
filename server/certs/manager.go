package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"wellkey/internal/contain"
	"wellkey/internal/schedule"
	"wellkey/internal/skew"
)

// attemptsAtATime bounds how many domains are worked on at a time. Those that are
// due come in the order in which they became due, so a domain that always fails,
// or a hundred of them, starve nobody.
const attemptsAtATime = 16

// A Manager obtains the certificates of any number of domains from an ACME CA,
// renews and serves them. It is safe for concurrent use.
type Manager struct {
	cfg     Config
	log     *zap.Logger
	metrics *metrics
	panics  *contain.Part
	cas     []*ca // the preferred one first; fixed
	queue   *schedule.Queue
	jumped  func(then, now time.Time) bool
	readers chan struct{}            // one for each handshake that waits for the storage
	lookups *lookups                 // in which acme looks
	magic   *certmagic.Cache         // empty; nil unless Run runs
	acme    atomic.Pointer[answerer] // likewise

	certs   *cache
	domains sync.Map                // domain -> *subject
	count   atomic.Int64            // of domains
	only    atomic.Pointer[subject] // the one domain; nil where there is none, or several

	mu     sync.Mutex // guards what follows, and changes of what is above
	former map[string]*subject
	ending sync.WaitGroup // of former
	over   bool           // Run is at its end
}

// New checks cfg. It reads and starts nothing; Run does.
func New(cfg Config) (*Manager, error) {
	cfg.setDefaults()
	m := &Manager{cfg: cfg, log: cfg.Logger.Named("certs"), former: map[string]*subject{},
		certs: &cache{most: cfg.Cached}, jumped: skew.Jumped, readers: make(chan struct{}, mostReaders), lookups: newLookups(cfg.Storage)}
	m.panics = contain.New("certificates", m.log)
	m.queue = schedule.New(attemptsAtATime, m.panics)
	err := cfg.check()
	if err != nil {
		return nil, err
	}
	if m.cas, err = cfg.newCAs(); err != nil {
		return nil, err
	}
	m.metrics, err = newMetrics(cfg.Registerer, m)
	if err != nil {
		return nil, fmt.Errorf("registering certificate metrics: %w", err)
	}
	return m, nil
}

// Add begins the work for a domain, at once if Run runs. One that is there
// already goes on.
func (m *Manager) Add(domain string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.get(domain) != nil {
		return
	}
	s := m.newSubject(domain)
	s.former = m.former[domain]
	m.domains.Store(domain, s)
	m.count.Add(1)
	m.chooseOnly()
	s.job.Wake()
}

// Remove ends the work for a domain, which is not served any more. It does not
// wait: an order that is being finalized ends first. What is stored stays.
func (m *Manager) Remove(domain string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.get(domain)
	if s == nil {
		return
	}
	m.domains.Delete(domain)
	m.count.Add(-1)
	m.chooseOnly()
	m.certs.remove(s)
	for _, ca := range m.cas {
		ca.outage.leave(s)
	}
	if m.over {
		s.end()
		return
	}
	m.former[domain] = s
	m.ending.Go(func() {
		m.panics.Do(s.end)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.former[domain] == s {
			delete(m.former, domain)
		}
	})
}

// chooseOnly finds the domain that is served to whoever names none. It is called
// with mu held.
func (m *Manager) chooseOnly() {
	m.only.Store(nil)
	if m.count.Load() != 1 {
		return
	}
	for s := range m.all {
		m.only.Store(s)
	}
}

// get returns the domain, nil where it is not one of ours.
func (m *Manager) get(domain string) *subject {
	s, ok := m.domains.Load(domain)
	if !ok {
		return nil
	}
	return s.(*subject)
}

// find is get for a name that a visitor says, in whatever case.
func (m *Manager) find(name string) *subject {
	s := m.get(name)
	if s == nil { // names are compared without their case, and mostly come in lower case
		name = strings.ToLower(name)
		if s = m.get(name); s == nil && m.cfg.Missing != nil {
			m.cfg.Missing(name)
			s = m.get(name)
		}
	}
	return s
}

// crowded reports whether there are more domains than certificates in memory.
func (m *Manager) crowded() bool { return m.count.Load() > int64(m.cfg.Cached) }

// all calls yield for each domain, until it returns false.
func (m *Manager) all(yield func(*subject) bool) {
	m.domains.Range(func(_, s any) bool { return yield(s.(*subject)) })
}

// Has reports whether a certificate is served for a domain, in date or not.
func (m *Manager) Has(domain string) bool {
	s := m.get(domain)
	return s != nil && s.served.Load() != nil
}

// Resting reports whether there is nothing to do now.
func (m *Manager) Resting() bool { return m.queue.Resting() }

// Looked reports whether it is known of all domains what is stored of them.
func (m *Manager) Looked() bool {
	for s := range m.all {
		if !s.looked.Load() {
			return false
		}
	}
	return true
}

// Status returns how it stands with a domain; of one that is not ours there is
// nothing to tell.
func (m *Manager) Status(domain string) Status {
	if s := m.get(domain); s != nil {
		return s.status()
	}
	return Status{Source: "acme", Directory: m.cas[0].directory.URL}
}

// Run serves what is stored, before anything else, and then obtains and renews
// for as long as ctx lasts. It does not retry within an attempt. It returns nil
// when ctx is done and nothing is left behind. It may be called once.
func (m *Manager) Run(ctx context.Context) error {
	m.magic = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.acme.Load().cfg, nil },
		Logger:           quiet(m.log),
	})
	defer m.magic.Stop()
	m.answerer()
	defer m.acme.Store(nil)
	defer func() {
		for _, ca := range m.cas {
			ca.http.CloseIdleConnections()
		}
	}()
	watching, stop := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() {
		_ = m.panics.Again(watching, func(ctx context.Context) error { m.watch(ctx); return nil })
	})
	err := m.queue.Run(ctx)
	stop()
	watched.Wait()
	m.mu.Lock()
	m.over = true
	m.mu.Unlock()
	m.ending.Wait()
	for s := range m.all {
		s.closeRecords(ctx)
	}
	return err
}

// TLSConfig returns a configuration that serves the current certificates, and
// the CA's TLS-ALPN-01 challenges, also before Run. MinVersion is TLS 1.2.
func (m *Manager) TLSConfig() *tls.Config {
	cfg := tlsConfig(m.certificate)
	cfg.NextProtos = append(cfg.NextProtos, alpnChallenge)
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpnChallenge {
			if c := m.acme.Load(); c != nil && m.challenged(hello.ServerName) {
				return c.cfg.GetCertificate(hello)
			}
			return nil, errors.New("no challenge is being solved")
		}
		return m.certificate(hello)
	}
	return cfg
}

// certificate serves whoever asks for one of our names, or for none where there is
// one only. Other names are refused, so that scanners of addresses do not learn
// more than they must.
func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" {
		if s := m.only.Load(); s != nil {
			return s.get(hello)
		}
		return nil, errors.New("the client names no domain, and there are several")
	}
	s := m.find(hello.ServerName)
	if s == nil {
		return nil, fmt.Errorf("no certificate for %q", hello.ServerName)
	}
	return s.get(hello)
}

// HTTPHandler answers the CA's HTTP-01 challenges and passes all else to
// fallback.
func (m *Manager) HTTPHandler(fallback http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if c := m.acme.Load(); c != nil && m.challenged(host) && c.iss.HandleHTTPChallenge(w, r) {
			return
		}
		fallback.ServeHTTP(w, r)
	})
}

// challenged reports whether a challenge for a name may be under way: one that this
// process began, which it has in memory, or one of another replica, for which the
// storage is asked, see lookups. For names that are not ours strangers alone ask, and
// where a record of the zone is the proof there is nothing to look up.
func (m *Manager) challenged(name string) bool {
	if _, begun := certmagic.GetACMEChallenge(name); begun {
		return true
	}
	return name != "" && m.cfg.DNS == nil && m.find(name) != nil
}
