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

// An answerer answers the challenges of all our CAs, whichever domain and replica
// they are for.
type answerer struct {
	cfg    *certmagic.Config
	iss    *certmagic.ACMEIssuer // any of cfg: each answers for all
	solves addresses             // where challenges arrive
}

// A client is certmagic, set up for one domain at one CA, for one step. It orders
// certificates and solves challenges; it decides nothing about when, stores
// nothing and serves nothing: the cache stays empty, so its maintenance, of which
// there is one for all, has nothing to do.
type client struct {
	cfg  *certmagic.Config
	iss  *certmagic.ACMEIssuer
	wire *wire
	log  *zap.Logger // with the wire
}

// addresses are those of our public listeners; "" = not bound, or off.
type addresses struct{ http, tls string }

func (cfg *Config) addresses() (a addresses) {
	if cfg.HTTPAddr != nil {
		a.http = cfg.HTTPAddr()
	}
	if cfg.TLSAddr != nil {
		a.tls = cfg.TLSAddr()
	}
	return a
}

// newAnswerer sets certmagic up to answer for all CAs. All fields are set that
// would else be filled from its globals; nothing global is changed.
func (m *Manager) newAnswerer(solves addresses) *answerer {
	ans := &answerer{solves: solves}
	ans.cfg = m.cfg.certmagic(m.magic, m.lookups, quiet(m.log))
	for _, ca := range m.cas {
		// An answerer answers by every challenge that a listener of ours can have,
		// whichever one this attempt, or a replica's, is made by.
		ans.iss = newIssuer(ans.cfg, m.cfg.issuer(ca, quiet(m.log), solves), ca.http)
		ans.cfg.Issuers = append(ans.cfg.Issuers, ans.iss)
	}
	return ans
}

// answerer returns what answers challenges where our listeners are now: a listener
// may be bound since.
func (m *Manager) answerer() *answerer {
	m.mu.Lock()
	defer m.mu.Unlock()
	ans := m.acme.Load()
	if solves := m.cfg.addresses(); ans == nil || ans.solves != solves {
		ans = m.newAnswerer(solves)
		m.acme.Store(ans)
	}
	return ans
}

// connect gives a domain its clients for a step, and returns where they solve
// challenges.
func (m *subject) connect() addresses {
	solves := m.all.answerer().solves
	for _, a := range m.authorities {
		a.stage = newStage(m.cfg.Storage, m.domain)
		a.client = a.connect(m.all.magic, solves)
	}
	return solves
}

// disconnect ends what connect began.
func (m *subject) disconnect() {
	for _, a := range m.authorities {
		a.client, a.stage = nil, nil
	}
}

// certmagic returns certmagic's configuration, without issuers.
func (cfg *Config) certmagic(cache *certmagic.Cache, storage certmagic.Storage, log *zap.Logger) *certmagic.Config {
	return certmagic.New(cache, certmagic.Config{
		RenewalWindowRatio: renewalRatio,
		OnEvent:            func(context.Context, string, map[string]any) error { return nil },
		Issuers:            []certmagic.Issuer{}, // not nil, which would make one from the globals
		KeySource:          certmagic.StandardKeyGenerator{KeyType: certmagic.P256},
		// Let's Encrypt has no OCSP any more, and certmagic would wait for a
		// silent responder without limit.
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		Storage: storage,
		Logger:  log,
	})
}

func newIssuer(cfg *certmagic.Config, template certmagic.ACMEIssuer, http *http.Client) *certmagic.ACMEIssuer {
	iss := certmagic.NewACMEIssuer(cfg, template)
	// certmagic asks a test CA only on a second attempt of its own, and each of
	// ours is a first one. Without it, a challenge is never stored under another
	// CA's name, where other replicas do not look.
	iss.TestCA = ""
	shareClient(iss, http)
	return iss
}

func (a *authority) connect(cache *certmagic.Cache, solves addresses) *client {
	c := &client{wire: &wire{now: a.m.cfg.Now}}
	c.log = a.log.Named("acme").WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return tap{core, c.wire} }))
	c.cfg = a.m.cfg.certmagic(cache, a.stage, c.log)
	c.iss = newIssuer(c.cfg, a.m.cfg.issuer(a.ca, c.log, solves), a.http)
	c.cfg.Issuers = []certmagic.Issuer{c.iss}
	return c
}

// httpClient returns the client for all that is asked of a CA.
func (cfg *Config) httpClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = attemptsAtATime
	// certmagic's own for a CA that is slow.
	transport.TLSHandshakeTimeout, transport.ResponseHeaderTimeout = 30*time.Second, 30*time.Second
	transport.TLSClientConfig = &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12, Time: cfg.Now}
	return &http.Client{
		Transport: bound{transport},
		Timeout:   certmagic.HTTPTimeout,
	}
}

// issuer returns the template of certmagic's issuer, which solves challenges at
// the given addresses.
func (cfg *Config) issuer(ca *ca, logger *zap.Logger, solves addresses) certmagic.ACMEIssuer {
	iss := certmagic.ACMEIssuer{
		CA:                ca.directory.URL,
		Email:             cfg.Email,
		Agreed:            true,
		TrustedRoots:      cfg.Roots,
		CertObtainTimeout: cfg.OrderTimeout,
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
	if ca.eab != nil {
		iss.ExternalAccount = &acme.EAB{KeyID: ca.eab.KeyID, MACKey: trimPadding(ca.eab.MACKey)}
	}
	iss.DNS01Solver = cfg.DNS // which switches the others off
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
