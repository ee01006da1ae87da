package certs

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// alpnChallenge is the protocol of TLS-ALPN-01 (RFC 8737).
	alpnChallenge = acmez.ACMETLS1Protocol

	// noEmail is under which name certmagic stores an account that has no
	// e-mail address.
	noEmail = "default"
)

// A client is certmagic, set up for one Manager. It orders certificates, solves
// challenges and stores the result; it decides nothing about when, and serves
// nothing: its cache stays empty, so its own maintenance has nothing to do.
type client struct {
	cache  *certmagic.Cache
	cfg    *certmagic.Config
	iss    *certmagic.ACMEIssuer
	solves addresses // where challenges arrive
	wire   *wire
	log    *zap.Logger  // with the wire
	http   *http.Client // for reading the directory
}

// addresses are those of our public listeners; "" = not bound, or off.
type addresses struct{ http, tls string }

func (m *Manager) addresses() (a addresses) {
	if m.cfg.HTTPAddr != nil {
		a.http = m.cfg.HTTPAddr()
	}
	if m.cfg.TLSAddr != nil {
		a.tls = m.cfg.TLSAddr()
	}
	return a
}

// connect sets certmagic up. All fields are set that would else be filled from
// its globals; nothing global is changed.
func (m *Manager) connect() *client {
	c := &client{wire: &wire{now: m.cfg.Now}, solves: m.addresses()}
	c.log = m.log.Named("acme").WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return tap{core, c.wire} }))
	c.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return c.cfg, nil },
		Logger:           c.log,
	})
	c.cfg = certmagic.New(c.cache, certmagic.Config{
		RenewalWindowRatio: renewalRatio,
		OnEvent:            func(context.Context, string, map[string]any) error { return nil },
		DefaultServerName:  m.cfg.Domain,
		Issuers:            []certmagic.Issuer{}, // not nil, which would make one from the globals
		KeySource:          certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		// Let's Encrypt has no OCSP any more, and certmagic would wait for a
		// silent responder without limit.
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		Storage: m.stage,
		Logger:  c.log,
	})
	c.iss = certmagic.NewACMEIssuer(c.cfg, m.issuer(c.log, c.solves))
	// certmagic asks a test CA only on a second attempt of its own, and each of
	// ours is a first one. Without it, a challenge is never stored under another
	// CA's name, where other replicas do not look.
	c.iss.TestCA = ""
	c.cfg.Issuers = []certmagic.Issuer{c.iss}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: m.cfg.Roots, MinVersion: tls.VersionTLS12}
	c.http = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	return c
}

// issuer returns the template of certmagic's issuer, which solves challenges at
// the given addresses.
func (m *Manager) issuer(logger *zap.Logger, solves addresses) certmagic.ACMEIssuer {
	iss := certmagic.ACMEIssuer{
		CA:                m.directory.URL,
		Email:             m.cfg.Email,
		Agreed:            true,
		TrustedRoots:      m.cfg.Roots,
		CertObtainTimeout: 5 * time.Minute,
		HTTPProxy:         http.ProxyFromEnvironment,
		Logger:            logger,
	}
	if iss.Email == "" {
		// Without an address, certmagic asks for one on the terminal. With the
		// name that it would then store the account under, it does not ask, and
		// finds the account again; the name itself is not for the CA.
		iss.Email = noEmail
		iss.NewAccountFunc = func(_ context.Context, _ *certmagic.ACMEIssuer, account acme.Account) (acme.Account, error) {
			account.Contact = nil
			return account, nil
		}
	}
	if m.cfg.EAB != nil && m.cfg.EAB.KeyID != "" {
		iss.ExternalAccount = &acme.EAB{KeyID: m.cfg.EAB.KeyID, MACKey: trimPadding(m.cfg.EAB.MACKey)}
	}
	// certmagic listens for challenges where nobody does. It must find our own
	// listeners taken, so it gets exactly their addresses; both share one host,
	// that of the TLS listener if there is one.
	iss.ListenHost, iss.AltHTTPPort = splitAddr(solves.http)
	if host, port := splitAddr(solves.tls); port != 0 {
		iss.ListenHost, iss.AltTLSALPNPort = host, port
	}
	iss.DisableHTTPChallenge = iss.AltHTTPPort == 0
	iss.DisableTLSALPNChallenge = iss.AltTLSALPNPort == 0
	return iss
}

// splitAddr takes the address of a bound listener apart; port 0 is none.
func splitAddr(addr string) (host string, port int) {
	host, text, _ := net.SplitHostPort(addr) // a listener's own address is well-formed, or ""
	port, _ = strconv.Atoi(text)
	return host, port
}

// close ends what connect began.
func (c *client) close() {
	c.cache.Stop()
	c.http.CloseIdleConnections()
}
