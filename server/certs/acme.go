package certs

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strconv"

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

// An answerer answers the challenges of all our CAs, whichever replica asked
// for them.
type answerer struct {
	cache  *certmagic.Cache
	cfg    *certmagic.Config
	iss    *certmagic.ACMEIssuer // any of cfg: each answers for all
	solves addresses             // where challenges arrive
}

// A client is certmagic, set up for one CA. It orders certificates and solves
// challenges; it decides nothing about when, stores nothing and serves nothing:
// its cache stays empty, so its own maintenance has nothing to do.
type client struct {
	cfg  *certmagic.Config
	iss  *certmagic.ACMEIssuer
	wire *wire
	log  *zap.Logger  // with the wire
	http *http.Client // for looking at the CA
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

// connect sets certmagic up for all CAs. All fields are set that would else be
// filled from its globals; nothing global is changed.
func (m *Manager) connect() *answerer {
	ans := &answerer{solves: m.addresses()}
	ans.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return ans.cfg, nil },
		Logger:           quiet(m.log),
	})
	ans.cfg = m.certmagic(ans.cache, m.cfg.Storage, quiet(m.log))
	for _, a := range m.authorities {
		a.client = a.connect(ans)
		// An answerer answers by every challenge that a listener of ours can have,
		// whichever one this attempt, or a replica's, is made by.
		ans.iss = newIssuer(ans.cfg, a.issuer(quiet(m.log), ans.solves))
		ans.cfg.Issuers = append(ans.cfg.Issuers, ans.iss)
	}
	return ans
}

// disconnect ends what connect began.
func (m *Manager) disconnect(ans *answerer) {
	ans.cache.Stop()
	for _, a := range m.authorities {
		a.client.http.CloseIdleConnections()
	}
}

// certmagic returns certmagic's configuration, without issuers.
func (m *Manager) certmagic(cache *certmagic.Cache, storage certmagic.Storage, log *zap.Logger) *certmagic.Config {
	return certmagic.New(cache, certmagic.Config{
		RenewalWindowRatio: renewalRatio,
		OnEvent:            func(context.Context, string, map[string]any) error { return nil },
		DefaultServerName:  m.cfg.Domain,
		Issuers:            []certmagic.Issuer{}, // not nil, which would make one from the globals
		KeySource:          certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		// Let's Encrypt has no OCSP any more, and certmagic would wait for a
		// silent responder without limit.
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		Storage: storage,
		Logger:  log,
	})
}

func newIssuer(cfg *certmagic.Config, template certmagic.ACMEIssuer) *certmagic.ACMEIssuer {
	iss := certmagic.NewACMEIssuer(cfg, template)
	// certmagic asks a test CA only on a second attempt of its own, and each of
	// ours is a first one. Without it, a challenge is never stored under another
	// CA's name, where other replicas do not look.
	iss.TestCA = ""
	boundIssuer(iss)
	return iss
}

func (a *authority) connect(ans *answerer) *client {
	c := &client{wire: &wire{now: a.m.cfg.Now}}
	c.log = a.log.Named("acme").WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return tap{core, c.wire} }))
	c.cfg = a.m.certmagic(ans.cache, a.stage, c.log)
	c.iss = newIssuer(c.cfg, a.issuer(c.log, ans.solves))
	c.cfg.Issuers = []certmagic.Issuer{c.iss}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: a.m.cfg.Roots, MinVersion: tls.VersionTLS12, Time: a.m.cfg.Now}
	c.http = &http.Client{
		Transport: bound{transport},
		Timeout:   certmagic.HTTPTimeout, // as it has for its own requests
	}
	return c
}

// issuer returns the template of certmagic's issuer, which solves challenges at
// the given addresses.
func (a *authority) issuer(logger *zap.Logger, solves addresses) certmagic.ACMEIssuer {
	iss := certmagic.ACMEIssuer{
		CA:                a.directory.URL,
		Email:             a.m.cfg.Email,
		Agreed:            true,
		TrustedRoots:      a.m.cfg.Roots,
		CertObtainTimeout: a.m.cfg.OrderTimeout,
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
	if a.eab != nil {
		iss.ExternalAccount = &acme.EAB{KeyID: a.eab.KeyID, MACKey: trimPadding(a.eab.MACKey)}
	}
	iss.DNS01Solver = a.m.cfg.DNS // which switches the others off
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
