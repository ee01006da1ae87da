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
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/secret"
)

// Config says what a Manager obtains, where from and how.
type Config struct {
	Storage   certmagic.Storage // where certificates and the ACME account live
	Shared    bool              // other replicas use the storage, too
	Directory string            // name or URL, see resolveDirectory; "" = Let's Encrypt
	Email     string            // for the CA's account; "" = none
	Profile   string            // "" = classic; one that the CA does not offer is left out
	Roots     *x509.CertPool    // trusted for talking to the CA; nil = the system's
	EAB       *EAB              // binds the ACME account, where the CA wants that
	Fallback  *FallbackCA       // asked where that CA fails for long; nil = none

	// HTTPAddr and TLSAddr return the real addresses of our public listeners
	// ("[::]:8443"), "" while one is not bound. They are called before each
	// attempt; while neither is bound, nothing is ordered. A nil function is a
	// listener that is switched off, and so is the challenge that needs it.
	HTTPAddr, TLSAddr func() string

	// DNS proves the domain by a record of its zone, in place of the listeners, so
	// that nobody need reach them. nil = by the listeners.
	DNS acmez.Solver

	// AllowEphemeral lets certificates be ordered although the storage says that it
	// will not last. A CA on this machine, and Let's Encrypt's staging, need it not.
	AllowEphemeral bool

	Cached       int           // how many certificates are in memory, at most; 0 = 16384
	Limits       Limits        // of all domains together; zero = below those of Let's Encrypt
	OrderTimeout time.Duration // how long the CA may take over an authorization or an order; 0 = 5 minutes

	// Missing is told of a name that a visitor wants and that was not added, and
	// may Add it before it returns; nil = nobody is told.
	Missing func(name string)

	// ClockOffset tells by how much our clock was last found to be ahead of
	// somebody else's than the CA's; false = not known. nil = nobody else.
	ClockOffset func() (time.Duration, bool)

	Common
}

// FallbackAfter is how long the first CA fails before the fallback is asked,
// unless the Config says otherwise: longer than the CAs' own outages last.
const FallbackAfter = 24 * time.Hour

// Common is what every source of certificates that does something is given.
type Common struct {
	Logger     *zap.Logger                                // nil = none
	Registerer prometheus.Registerer                      // nil = no metrics
	OnChange   func(domain string)                        // called after another certificate is served; nil = nobody
	Now        func() time.Time                           // nil = time.Now
	Wait       func(context.Context, time.Duration) error // waits until a domain, or the files, are to be looked at again; nil = a timer; returns the context's error when that is done
	Poll       time.Duration                              // how often to look for changed files, or for word that a renewal is wanted; 0 = 2 s
}

func (c *Common) setDefaults() {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.OnChange == nil {
		c.OnChange = func(string) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Poll = cmp.Or(c.Poll, 2*time.Second)
}

// A FallbackCA is asked for a certificate where there is none, or where it is due
// for renewal, and the first CA has failed for a while for a reason that may not
// hold elsewhere. E-mail, profile and roots are those of the first one.
type FallbackCA struct {
	Directory string        // name or URL, see resolveDirectory; another CA than the first
	EAB       *EAB          // nil = none
	After     time.Duration // of failures; 0 = 24 h
}

// An EAB binds an ACME account to one at the CA's own portal (RFC 8555, section
// 7.3.4).
type EAB struct {
	KeyID  string
	MACKey secret.Text // base64url
}

func (cfg *Config) setDefaults() {
	cfg.Directory = cmp.Or(cfg.Directory, "letsencrypt")
	cfg.Limits.Account = cmp.Or(cfg.Limits.Account, defaultLimits().Account)
	cfg.Limits.Registered = cmp.Or(cfg.Limits.Registered, defaultLimits().Registered)
	cfg.Cached = cmp.Or(cfg.Cached, cacheSize)
	cfg.OrderTimeout = cmp.Or(cfg.OrderTimeout, 5*time.Minute)
	// The profiles "tlsserver" and "shortlived" give certificates without a common
	// name, which Tesla's portal was reported to refuse.
	cfg.Profile = cmp.Or(cfg.Profile, "classic")
	cfg.Common.setDefaults()
	if cfg.Fallback != nil {
		fallback := *cfg.Fallback
		fallback.After = cmp.Or(fallback.After, FallbackAfter)
		cfg.Fallback = &fallback
	}
}

func (cfg *Config) check() error {
	switch {
	case cfg.Storage == nil:
		return errors.New("obtaining certificates: no storage is set")
	case cfg.DNS == nil && cfg.HTTPAddr == nil && cfg.TLSAddr == nil:
		return errors.New("a CA can prove the domain only over HTTP or HTTPS, and both listeners are off: set http_addr or https_addr, or dns_provider, or tls to files or off")
	}
	return nil
}

// trimPadding reveals a MAC key in the form that ACME clients take.
func trimPadding(key secret.Text) string { return strings.TrimRight(key.Reveal(), "=") }

// jitter returns a random part of up to a tenth of d, so that the clients of a
// CA do not come together.
func jitter(d time.Duration) time.Duration { return rand.N(max(d/10, 1)) } // #nosec G404 -- it spreads load; who guesses it gains nothing
