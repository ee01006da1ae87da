// Package testca runs a certificate authority on loopback, for tests and the
// demo: Pebble, the small ACME CA of Let's Encrypt, in this process, with a
// hook for faults and counters before it. Its Signer makes certificates
// without ACME, good ones and bad ones.
package testca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/core"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Paths of Pebble's endpoints, for Intercept. Those with a final slash are
// followed by an identifier.
const (
	DirectoryPath   = wfe.DirectoryPath
	NewNoncePath    = "/nonce-plz"
	NewAccountPath  = "/sign-me-up"
	NewOrderPath    = "/order-plz"
	OrderPath       = "/my-order/"
	AuthzPath       = "/authZ/"
	ChallengePath   = "/chalZ/"
	FinalizePath    = "/finalize-order/"
	CertificatePath = "/certZ/"
	RenewalInfoPath = "/draft-ietf-acme-ari-03/renewalInfo/"
)

// Config says what CA to start. The zero Config is one that offers the
// profiles of Let's Encrypt and validates on ports 80 and 443.
type Config struct {
	Addr     string // where the ACME API listens; "" = a free port of 127.0.0.1
	HTTPPort int    // where HTTP-01 is validated; SetPorts changes it
	TLSPort  int    // where TLS-ALPN-01 is validated; SetPorts changes it
	DNS      string // host:port of the DNS server that is asked, over TCP; "" = the system's resolver
	Profiles []Profile
	EAB      map[string]string // key id → MAC key in base64url; if there are any, new accounts must be bound to one
	Log      io.Writer         // Pebble's own log; nil = none
	Date     func() time.Time  // what the API says in its Date headers; nil = the real time. Certificates begin at the real time

	BadNonces int           // how many of 100 good nonces are rejected all the same
	Sleep     time.Duration // up to how long each validation sleeps, whole seconds; 0 = not at all
	Chain     int           // intermediates of a chain; 0 = one
}

// APIName is, beside 127.0.0.1, localhost and the host of Config.Addr, a name in the certificate of the API:
// for clients that treat a CA on this very machine in another way. Whoever uses it
// sees to it that it resolves.
const APIName = "acme.wellkey.test"

// A Profile is a kind of certificate that clients may ask for by name. An order
// that names none gets any of them at random.
type Profile struct {
	Name       string
	CommonName bool          // put the first name into the subject, too
	Lifetime   time.Duration // whole seconds; 0 = 90 days
}

// letsEncryptProfiles are the profiles of a Config that has none.
func letsEncryptProfiles() []Profile {
	return []Profile{
		{Name: "classic", CommonName: true},
		{Name: "tlsserver", Lifetime: 45 * 24 * time.Hour},
		{Name: "shortlived", Lifetime: 160 * time.Hour},
	}
}

// A CA is a running certificate authority. It is safe for concurrent use.
type CA struct {
	cfg      Config
	quiet    *log.Logger
	db       *db.MemoryStore
	ca       *ca.CAImpl
	api      *Signer // made the certificate of the API
	listener net.Listener
	server   *http.Server
	ended    chan error

	pebble    atomic.Pointer[http.Handler]
	intercept atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]

	orders, finalized, accounts atomic.Int64
}

// Start runs a CA until Close. Pebble reads some of its manners only from the
// environment of the process, so that is changed for a moment, here and in
// SetPorts.
//
// After Close, the goroutine of Pebble's validator
// (github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks) stays behind, as
// Pebble has no way to end it.
func Start(cfg Config) (*CA, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if len(cfg.Profiles) == 0 {
		cfg.Profiles = letsEncryptProfiles()
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	if cfg.Chain == 0 {
		cfg.Chain = 1
	}
	c := &CA{cfg: cfg, quiet: log.New(cfg.Log, "pebble ", log.LstdFlags), db: db.NewMemoryStore(), ended: make(chan error, 1)}
	for id, key := range cfg.EAB {
		if err := c.db.AddExternalAccountKeyByID(id, key); err != nil {
			return nil, fmt.Errorf("adding external account %q: %w", id, err)
		}
	}
	profiles := make(map[string]ca.Profile, len(cfg.Profiles))
	for _, p := range cfg.Profiles {
		profiles[p.Name] = ca.Profile{Description: p.Name, PromoteCommonName: p.CommonName, ValidityPeriod: uint64(p.Lifetime / time.Second)}
	}
	c.ca = ca.New(c.quiet, c.db, "", "ecdsa", 0, cfg.Chain, profiles)
	c.SetPorts(cfg.HTTPPort, cfg.TLSPort)
	if err := c.serve(); err != nil {
		return nil, err
	}
	return c, nil
}

// manners is held while the environment is as one CA wants it.
var manners sync.Mutex

// withManners calls f while the environment tells Pebble how to behave: sleeps
// and rejected nonces as in the Config, and no reuse of authorizations.
func (c *CA) withManners(f func()) {
	manners.Lock()
	defer manners.Unlock()
	for name, value := range map[string]string{
		"PEBBLE_VA_NOSLEEP":      strconv.FormatBool(c.cfg.Sleep == 0),
		"PEBBLE_VA_SLEEPTIME":    strconv.Itoa(int(c.cfg.Sleep / time.Second)),
		"PEBBLE_WFE_NONCEREJECT": strconv.Itoa(c.cfg.BadNonces),
		"PEBBLE_AUTHZREUSE":      "0",
	} {
		former, set := os.LookupEnv(name)
		_ = os.Setenv(name, value) // name and value are in order
		defer func() {
			if set {
				_ = os.Setenv(name, former)
			} else {
				_ = os.Unsetenv(name)
			}
		}()
	}
	f()
}

// serve binds the API's listener and answers on it.
func (c *CA) serve() (err error) {
	if c.api, err = NewSigner(); err != nil {
		return fmt.Errorf("making the root of the ACME API: %w", err)
	}
	names := []string{"127.0.0.1", "localhost", APIName}
	if host, _, err := net.SplitHostPort(c.cfg.Addr); err == nil && host != names[0] {
		names = append(names, host)
	}
	leaf, err := c.api.Issue(LeafOptions{}, names...)
	if err != nil {
		return fmt.Errorf("making the certificate of the ACME API: %w", err)
	}
	c.listener, err = net.Listen("tcp", c.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listening for ACME: %w", err)
	}
	c.server = &http.Server{
		Handler:   http.HandlerFunc(c.handle),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{leaf.Certificate}},
		ErrorLog:  c.quiet,
	}
	go func() { c.ended <- c.server.ServeTLS(c.listener, "", "") }()
	return nil
}

// Close ends the API at once, requests in flight included.
func (c *CA) Close() error {
	err := c.server.Close()
	if ended := <-c.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// SetPorts changes where challenges are validated from now on: for whoever
// learns its ports only after it knows the CA. Accounts, orders and
// certificates stay; nonces that were given out become invalid, which ACME
// clients bear.
func (c *CA) SetPorts(httpPort, tlsPort int) {
	c.withManners(func() {
		validator := va.New(c.quiet, httpPort, tlsPort, true, c.cfg.DNS, c.db)
		if c.cfg.DNS != "" {
			patient(validator)
		}
		// No Retry-After on pending orders: clients poll at their own, quicker, pace.
		front := wfe.New(c.quiet, c.db, validator, c.ca, []string{"pebble.test"}, true, len(c.cfg.EAB) > 0, 0, 0)
		handler := front.Handler()
		c.pebble.Store(&handler)
	})
}

// Intercept lets f see each request to the API before Pebble does; if f returns
// true, it has answered. It may block or hijack. A nil f ends it.
func (c *CA) Intercept(f func(http.ResponseWriter, *http.Request) (handled bool)) {
	if f == nil {
		c.intercept.Store(nil)
		return
	}
	c.intercept.Store(&f)
}

// Answer lets f change the bodies of good answers at path, or below it; a nil f
// ends that.
func (c *CA) Answer(path string, f func(good []byte) []byte) {
	if f == nil {
		c.Intercept(nil)
		return
	}
	c.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, path) {
			return false
		}
		answer := httptest.NewRecorder()
		c.Pass(answer, r)
		body := answer.Body.Bytes()
		if answer.Code < http.StatusBadRequest {
			body = f(body)
		}
		header := w.Header()
		maps.Copy(header, answer.Header())
		header.Del("Content-Length")
		w.WriteHeader(answer.Code)
		_, _ = w.Write(body) // a client that went away
		return true
	})
}

// handle counts and passes one request.
func (c *CA) handle(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == NewOrderPath && r.Method == http.MethodPost: // a GET there orders nothing
		c.orders.Add(1)
	case strings.HasPrefix(r.URL.Path, FinalizePath):
		c.finalized.Add(1)
	}
	if c.cfg.Date != nil {
		w.Header().Set("Date", c.cfg.Date().UTC().Format(http.TimeFormat))
	}
	if f := c.intercept.Load(); f != nil && (*f)(w, r) {
		return
	}
	c.Pass(w, r)
}

// Pass answers a request as Pebble does: for an interceptor that wants to see the
// answer, or to change it.
func (c *CA) Pass(w http.ResponseWriter, r *http.Request) {
	if serial, ok := strings.CutPrefix(r.URL.Path, CertificatePath); ok {
		c.awaitRecord(r.Context(), serial)
	}
	if r.URL.Path == NewAccountPath {
		w = &accountWriter{w, &c.accounts}
	}
	(*c.pebble.Load()).ServeHTTP(w, r)
}

// An accountWriter counts an answer that says that an account was made; to one that
// is there already, it would be 200 (RFC 8555, section 7.3.1).
type accountWriter struct {
	http.ResponseWriter
	made *atomic.Int64
}

func (w *accountWriter) WriteHeader(status int) {
	if status == http.StatusCreated {
		w.made.Add(1)
	}
	w.ResponseWriter.WriteHeader(status)
}

// awaitRecord waits until Pebble knows by which order the certificate was issued.
// It notes that a moment after the order is shown as valid, and would fail a
// renewal that comes in between.
func (c *CA) awaitRecord(ctx context.Context, serial string) {
	ctx, cancel := context.WithTimeout(ctx, recordPatience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if order, err := c.db.GetOrderByIssuedSerial(serial); err == nil {
			c.alias(order, serial)
			return
		}
		select {
		case <-ctx.Done():
			return // an unknown certificate: Pebble says so
		case <-tick.C:
		}
	}
}

// alias records the order under the name by which clients know a serial number
// that begins with a set bit: they send its DER form (RFC 9773, section 4.1), which
// has a zero byte in front, and Pebble compares without.
func (c *CA) alias(order *core.Order, serial string) {
	if serial[0] < '8' {
		return
	}
	order.RLock()
	defer order.RUnlock()
	_ = c.db.AddOrderByIssuedSerial(&core.Order{ // its only error is that of an order without certificate
		Order: order.Order, ID: order.ID, AccountID: order.AccountID,
		CertificateObject: &core.Certificate{ID: "00" + serial},
	})
}

// recordPatience is far more than Pebble needs.
const recordPatience = 2 * time.Second

// Orders returns how many new-order requests came, intercepted ones included.
func (c *CA) Orders() int { return int(c.orders.Load()) }

// Finalized returns how many finalize requests came, intercepted ones included:
// at most so many certificates were issued.
func (c *CA) Finalized() int { return int(c.finalized.Load()) }

// Accounts returns how many accounts were made.
func (c *CA) Accounts() int { return int(c.accounts.Load()) }

// Directory returns the URL of the ACME directory.
func (c *CA) Directory() string { return "https://" + c.listener.Addr().String() + DirectoryPath }

// APIRoots returns what a client of the API must trust.
func (c *CA) APIRoots() *x509.CertPool { return c.api.Roots() }

// APIRootsPEM returns the same as PEM.
func (c *CA) APIRootsPEM() []byte { return c.api.RootsPEM() }

// Roots returns what a client of a certificate's owner must trust.
func (c *CA) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.ca.GetRootCert(0).Cert)
	return pool
}

// RootsPEM returns the same as PEM.
func (c *CA) RootsPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ca.GetRootCert(0).DER})
}

// SetRenewalInfo changes the renewal window (ACME ARI, RFC 9773) that the CA
// suggests for cert, which it must have issued.
func (c *CA) SetRenewalInfo(cert *x509.Certificate, start, end time.Time) error {
	answer := fmt.Sprintf(`{"suggestedWindow":{"start":%q,"end":%q}}`, start.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339))
	if err := c.db.SetARIResponse(cert.SerialNumber, answer); err != nil {
		return fmt.Errorf("setting renewal info of %x: %w", cert.SerialNumber, err)
	}
	return nil
}
