// Package certs keeps the certificate that the public listeners serve. It has
// three sources behind the same seam (TLSConfig, HTTPHandler, Run, Status):
// Manager obtains and renews one from an ACME CA, Files reads one that somebody
// else renews, None is for a proxy in front that ends TLS.
//
// Whatever happens to the CA, the storage or the files, the last usable
// certificate goes on being served, expired or not: a client that looks at the
// date can still decide for itself.
package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/secret"
)

// Config says what a Manager obtains, where from and how.
type Config struct {
	Domain    string            // the one name of the certificate
	Storage   certmagic.Storage // where certificates and the ACME account live
	Directory string            // name or URL, see ResolveDirectory; "" = Let's Encrypt
	Email     string            // for the CA's account; "" = none
	Profile   string            // "" = classic; one that the CA does not offer is left out
	Roots     *x509.CertPool    // trusted for talking to the CA; nil = the system's
	EAB       *EAB              // binds the ACME account, where the CA wants that

	// HTTPAddr and TLSAddr return the real addresses of our public listeners
	// ("[::]:8443"), "" while one is not bound. They are called before each
	// attempt; while neither is bound, nothing is ordered. A nil function is a
	// listener that is switched off, and so is the challenge that needs it.
	HTTPAddr, TLSAddr func() string

	// AllowEphemeral lets certificates be ordered although the storage says that it
	// will not last. A CA on this machine, and Let's Encrypt's staging, need it not.
	AllowEphemeral bool

	// ClockOffset tells by how much our clock was last found to be ahead of
	// somebody else's than the CA's; false = not known. nil = nobody else.
	ClockOffset func() (time.Duration, bool)

	Logger     *zap.Logger                                // nil = none
	Registerer prometheus.Registerer                      // nil = no metrics
	OnChange   func()                                     // called after another certificate is served; nil = nobody
	Now        func() time.Time                           // nil = time.Now
	Wait       func(context.Context, time.Duration) error // nil = a timer; returns the context's error when that is done
	Poll       time.Duration                              // how often to look whether a renewal was asked for; 0 = 2 s
}

// An EAB binds an ACME account to one at the CA's own portal (RFC 8555, section
// 7.3.4).
type EAB struct {
	KeyID  string
	MACKey secret.Text // base64url
}

// A Manager obtains the certificate of one domain from an ACME CA, renews and
// serves it. It is safe for concurrent use.
type Manager struct {
	holder
	cfg       Config
	directory Directory
	log       *zap.Logger
	metrics   *metrics
	acme      atomic.Pointer[client] // nil unless Run runs
	issuerKey string                 // certmagic's name of the CA
	stage     *stage
	counts    bool // the CA may have limits that last

	// Only Run uses these.
	stopping func() bool // whether Run is to end
	rec      record
	opened   bool      // rec was read
	stale    bool      // rec is not stored as it is
	started  time.Time // when rec was read
	looked   time.Time // when an absent CA was last looked for
	held     *resource // what is served, if it is of our CA; nil = none
	unsaved  *resource // what is only in memory; nil = nothing
	saving   bool      // storing it failed before
	waiting  Reason    // what held the last step back; "" = nothing
	deaf     bool      // word that was left cannot be taken up

	mu    sync.Mutex // guards state
	state state
}

// state is what Status reports beside the certificate.
type state struct {
	attempts int
	failures map[Reason]int
	renewal  time.Time
	next     time.Time
	last     *Failure       // nil after a success
	ledger   *ledger        // nil before it was read
	offset   *time.Duration // of our clock against the CA's; nil = not known

	validated time.Time // when the CA last reached us; zero = not known
}

// New checks cfg. It reads and starts nothing; Run does.
func New(cfg Config) (*Manager, error) {
	cfg.setDefaults()
	directory, err := ResolveDirectory(cfg.Directory)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(cfg.check(), directory.checkEAB(cfg.EAB)); err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, directory: directory, state: state{failures: map[Reason]int{}}, log: cfg.Logger.Named("certs").With(zap.String("domain", cfg.Domain))}
	m.domain = cfg.Domain
	m.issuerKey = (&certmagic.ACMEIssuer{CA: directory.URL}).IssuerKey()
	m.stage, m.counts = newStage(cfg.Storage, cfg.Domain), directory.production()
	m.metrics, err = newMetrics(cfg.Registerer, cfg.Domain, m.Status)
	if err != nil {
		return nil, fmt.Errorf("registering certificate metrics: %w", err)
	}
	return m, nil
}

func (cfg *Config) setDefaults() {
	cfg.Directory = cmp.Or(cfg.Directory, "letsencrypt")
	cfg.Profile = cmp.Or(cfg.Profile, "classic") // with a common name, which Tesla's portal wants
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func() {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	cfg.Poll = cmp.Or(cfg.Poll, 2*time.Second)
}

func (cfg *Config) check() error {
	switch {
	case cfg.Domain == "":
		return errors.New("obtaining certificates: no domain is set")
	case cfg.Storage == nil:
		return errors.New("obtaining certificates: no storage is set")
	case cfg.HTTPAddr == nil && cfg.TLSAddr == nil:
		return errors.New("a CA can prove the domain only over HTTP or HTTPS, and both listeners are off: set http_addr or https_addr, or tls to files or off")
	}
	return nil
}

func (d Directory) checkEAB(eab *EAB) error {
	if eab == nil || eab.KeyID == "" && eab.MACKey.IsZero() {
		if d.NeedsEAB {
			return fmt.Errorf("the CA %q gives certificates only to accounts of its portal: set acme_eab_key_id and acme_eab_hmac_key, which %s", d.Name, d.eabSource)
		}
		return nil
	}
	if eab.KeyID == "" || eab.MACKey.IsZero() {
		return errors.New("acme_eab_key_id and acme_eab_hmac_key belong together, and one is missing: set both or none")
	}
	if _, err := base64.RawURLEncoding.DecodeString(trimPadding(eab.MACKey)); err != nil {
		return errors.New("acme_eab_hmac_key is not base64url: copy it again from the CA's portal, whole and without quotes")
	}
	return nil
}

// trimPadding reveals a MAC key in the form that ACME clients take.
func trimPadding(key secret.Text) string { return strings.TrimRight(key.Reveal(), "=") }

// TLSConfig returns a configuration that serves the current certificate, and
// the CA's TLS-ALPN-01 challenges, also before Run. MinVersion is TLS 1.2.
func (m *Manager) TLSConfig() *tls.Config {
	cfg := m.holder.TLSConfig()
	cfg.NextProtos = append(cfg.NextProtos, alpnChallenge)
	cfg.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpnChallenge {
			if c := m.acme.Load(); c != nil {
				return c.cfg.GetCertificate(hello)
			}
			return nil, errors.New("no challenge is being solved")
		}
		return m.get(hello)
	}
	return cfg
}

// HTTPHandler answers the CA's HTTP-01 challenges and passes all else to
// fallback.
func (m *Manager) HTTPHandler(fallback http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := m.acme.Load(); c != nil && c.iss.HandleHTTPChallenge(w, r) {
			return
		}
		fallback.ServeHTTP(w, r)
	})
}

// wait returns nil after d, or the context's error when that is done.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// jitter returns a random part of up to a tenth of d, so that the clients of a
// CA do not come together.
func jitter(d time.Duration) time.Duration { return rand.N(max(d/10, 1)) }
