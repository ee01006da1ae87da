// Package fleetsim is a Fleet API that behaves like Tesla's, as far as a
// partner's registration meets it: an auth host, and a base URL for every
// region, on loopback. It downloads keys, keeps an account per application and
// region, and refuses with the texts of fleetapi.Catalogue. Tests and the demo
// use it; the shipped binary does not hold it.
//
// What Tesla does not document, the simulator has to choose: the order of its
// checks, the status of some texts, the size at which a key is too large, the
// hash in public_key_hash, and how it finds the root of a domain. Each choice
// is named where it is made, and nothing but tests may rely on it.
package fleetsim

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"wellkey/registrar/fleetapi"
)

// Config is what a Sim is made from; the zero Config is a useful one.
type Config struct {
	Regions   []fleetapi.Region                                                 // nil = all
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error) // how domains are reached; nil = the network
	Roots     *x509.CertPool                                                    // which certificates of domains are trusted; nil = the system's
	Clock     func() time.Time                                                  // nil = time.Now
	Listen    func() (net.Listener, error)                                      // nil = a port of 127.0.0.1 that the system chooses
	TokenLife time.Duration                                                     // 0 = 8 hours, as Tesla's
	OnRequest func(Request)                                                     // called once a request, from its goroutine: before the answer is sent, or when it ended without; nil = none
}

// A Sim is a simulated Fleet API. It is safe for concurrent use.
type Sim struct {
	config  Config
	clock   func() time.Time
	cancel  context.CancelFunc
	servers []*http.Server
	serving sync.WaitGroup
	authURL string
	trapURL string                     // where redirects lead
	bases   map[fleetapi.Region]string // set by Start, then only read
	keys    *http.Client

	mu        sync.Mutex // guards all below
	apps      map[string]App
	tokens    map[string]grant
	opaque    *opaque // nil = tokens are as Tesla's
	accounts  map[holder]fleetapi.Account
	faults    []*fault
	requests  []Request
	downloads int
	strays    Strays
}

// New returns a simulator that does not listen yet.
func New(c Config) *Sim {
	clock := c.Clock
	if clock == nil {
		clock = time.Now
	}
	if c.Regions == nil {
		c.Regions = fleetapi.Regions()
	}
	if c.Listen == nil {
		c.Listen = func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
	}
	c.TokenLife = cmp.Or(c.TokenLife, 8*time.Hour)
	return &Sim{
		config:   c,
		clock:    clock,
		bases:    map[fleetapi.Region]string{},
		keys:     newKeyClient(c),
		apps:     map[string]App{},
		tokens:   map[string]grant{},
		accounts: map[holder]fleetapi.Account{},
	}
}

// Start listens on ports of 127.0.0.1 that the system chooses: one for the auth
// host, one for every region, one where redirects lead. The caller closes s.
func (s *Sim) Start() error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	known := make(chan struct{}) // no request is served before all addresses are
	defer close(known)
	var err error
	listen := func(h http.Handler) string {
		l, e := s.config.Listen()
		if e != nil {
			err = errors.Join(err, e)
			return ""
		}
		srv := &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				<-known
				h.ServeHTTP(w, r)
			}),
			ErrorLog:          log.New(io.Discard, "", 0),
			ReadHeaderTimeout: 30 * time.Second,
			BaseContext:       func(net.Listener) context.Context { return ctx },
		}
		s.servers = append(s.servers, srv)
		s.serving.Go(func() { _ = srv.Serve(l) }) // always ErrServerClosed
		return "http://" + l.Addr().String()
	}
	s.trapURL = listen(http.HandlerFunc(s.trap))
	s.authURL = listen(s.auth())
	for _, r := range s.config.Regions {
		s.bases[r] = listen(s.base(r))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("listening on loopback: %w", err), s.Close())
	}
	return nil
}

// Close ends all listeners and requests, those that hang included, and waits
// for them.
func (s *Sim) Close() error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	limit, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	var errs []error
	for _, srv := range s.servers {
		if srv.Shutdown(limit) != nil { // somebody keeps a connection and does not read
			errs = append(errs, srv.Close())
		}
	}
	s.serving.Wait()
	return errors.Join(errs...)
}

// AuthURL returns the base URL of the auth host: what fleetapi.Config.AuthURL wants.
func (s *Sim) AuthURL() string { return s.authURL }

// ElsewhereURL returns the base URL of another host, which is not Tesla's: see Strays.
func (s *Sim) ElsewhereURL() string { return s.trapURL }

// BaseURL returns the base URL of a region, which is the audience of its
// tokens; "" for a region that is not simulated.
func (s *Sim) BaseURL(r fleetapi.Region) string { return s.bases[r] }

// BaseURLs returns the base URLs of all simulated regions.
func (s *Sim) BaseURLs() map[fleetapi.Region]string {
	urls := map[fleetapi.Region]string{}
	for _, r := range s.config.Regions {
		urls[r] = s.bases[r]
	}
	return urls
}

func (s *Sim) auth() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/v3/token", s.serveToken)
	return mux
}

func (s *Sim) base(r fleetapi.Region) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	mux.HandleFunc("POST /api/1/partner_accounts", s.serveRegister(r))
	mux.HandleFunc("GET /api/1/partner_accounts/public_key", s.servePublicKey(r))
	return mux
}

// region returns the region whose audience it is; "" if none.
func (s *Sim) region(audience string) fleetapi.Region {
	for _, r := range s.config.Regions {
		if s.bases[r] == audience {
			return r
		}
	}
	return ""
}

// refusal returns the row of the catalogue. Codes are those of this repository.
func refusal(code fleetapi.ReasonCode) fleetapi.Refusal {
	rows := fleetapi.Catalogue()
	i := slices.IndexFunc(rows, func(r fleetapi.Refusal) bool { return r.Code == code })
	if i < 0 {
		panic("fleetsim: no such reason code: " + string(code))
	}
	return rows[i]
}

func random(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
