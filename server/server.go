// Package server is the public face of wellkey: the HTTP and the HTTPS
// listener, with limits that hold against the open internet, and the few
// answers that they give.
//
// Over HTTPS (or behind a proxy that ends TLS, see Config.PlainHTTP):
//
//	GET, HEAD  /.well-known/appspecific/com.tesla.3p.public-key.pem   the key
//	any other method there                                            405
//	anything else                                                     404, or the answer of the application (Config.Upstream)
//
// Over HTTP: ACME HTTP-01 challenges, and a redirect to HTTPS for all else.
//
// Nothing here comes from a file system and no path is ever cleaned or joined:
// the key's path is compared as it was sent, and what is served was encoded from
// a keystore.Key, which holds no private half. Request bodies are not read, but
// for those that go to the application.
//
// The way of a connection: a listener takes it (listener.go), and holds and counts it
// (held.go, connections.go, visitors.go), within its share of what the process has
// (fit.go), perhaps in the place of another (displace.go). Where more than HTTP is done
// with it, it comes through a gate (gate.go), which makes the handshake in its turn
// (line.go, multiplex.go), else through a front (front.go). net/http reads its requests,
// those of HTTP/1 in TLS from a kept connection (kept.go), and routes.go answers them.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"wellkey/internal/contain"
	"wellkey/internal/listen"
	"wellkey/keystore"
	"wellkey/server/passthrough"
	"wellkey/server/peer"
	"wellkey/server/upstream"
)

// KeyPath is where Tesla looks for the public key of a domain.
const KeyPath = "/.well-known/appspecific/com.tesla.3p.public-key.pem"

// Certificates is the consumer contract for where certificates come from.
type Certificates interface {
	// TLSConfig returns a configuration that chooses a certificate by the name
	// that the client asks for, and refuses names that are not ours. Of it are
	// used: the choice of the certificate, and the protocols that a challenge
	// needs (acme-tls/1). Versions, cipher suites and curves are set by this
	// package, so GetConfigForClient, which would escape them, must be nil.
	TLSConfig() *tls.Config
	// HTTPHandler returns a handler of the paths below
	// /.well-known/acme-challenge/ that answers the challenges it knows and
	// leaves all others to fallback.
	HTTPHandler(fallback http.Handler) http.Handler
}

// Config holds what a Server needs. Domain, Key and at least one address are
// required.
type Config struct {
	// Domain is the bare host that is served; redirects lead to it. It answers to
	// every Host: the key is public, and proxies rewrite the header.
	Domain string
	// Ours, in the place of Domain, reports whether host is one of several that are
	// served; who asks for another gets 421. It must not block.
	Ours func(host string) bool
	// HTTPAddr and HTTPSAddr are the addresses to listen on, as host:port. An
	// empty one switches that listener off.
	HTTPAddr, HTTPSAddr string
	// PlainHTTP makes the HTTP listener serve the key itself, where it would
	// redirect otherwise: for use behind a proxy that ends TLS.
	PlainHTTP bool
	// Key returns the key to serve for a host, the zero Key where there is none
	// (yet). The host comes from the request: lower case, without port or
	// trailing dot, possibly empty, never to be trusted. It is called for every
	// request, by many goroutines, and must not block.
	Key func(host string) keystore.Key
	// Certificates is required with HTTPSAddr. Without it, HTTP answers no
	// challenges.
	Certificates Certificates
	// Answer gives the answer to the challenge in a probe's header, or "" (see
	// package probetoken). Nil leaves every probe unanswered.
	Answer func(challenge string) string
	// TrustedProxies are the addresses of proxies in front, whose word about the
	// client counts.
	TrustedProxies []netip.Prefix
	// ProxyProtocol makes every connection from them begin with a PROXY header.
	ProxyProtocol bool
	// Passthrough are the names whose connections to the HTTPS listener go to other
	// servers, untouched. PassthroughProxyProtocol tells those who the client is.
	Passthrough              []passthrough.Route
	PassthroughProxyProtocol bool
	// HSTS has what comes over HTTPS say that nothing but HTTPS is to be used for the
	// host. Where the application says something of it, its word counts.
	HSTS bool
	// Upstream is the operator's application, which gets every request that is not
	// ours; nil is none. Its Registerer, Logger and HSTS are those given here, and how
	// many requests it gets at a time follows from the Limits.
	Upstream *upstream.Config
	// Limits are the operator's; what is zero has its default.
	Limits Limits
	// Memory is how many bytes the process may have, 0 where that is not known.
	// Without limits of the operator fewer connections are held where it is little.
	Memory uint64
	// Registerer receives the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Logger may be nil.
	Logger *zap.Logger
	// DrainTimeout is how long open requests may go on after the stop; 0 means as
	// long as an answer may take, which is 10 s.
	DrainTimeout time.Duration
}

// Limits are how many connections a listener takes.
type Limits struct {
	Connections int // at a time; of the HTTP listener too where it serves the key
	PerClient   int // of them from one address
	Rate        int // how many one address may open a second
}

// A Server is the public face. Its methods are safe for concurrent use, but
// Listen and Run are called once each, in this order.
type Server struct {
	config      Config
	logger      *zap.Logger
	metrics     *metrics
	fetches     fetches
	keyPages    keyPages
	trusted     peer.Trusted
	upstream    *upstream.Proxy          // nil: none
	passthrough *passthrough.Passthrough // nil: none
	http, https *listener                // nil: switched off
	waiting     limits                   // see waitingLimits
	patience    time.Duration            // see helloTimeout
	rest        time.Duration            // see restAfter
}

// New returns a Server that does nothing yet.
func New(config Config) (*Server, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	s := &Server{config: config, logger: config.Logger, patience: helloTimeout, rest: restAfter}
	if s.logger == nil {
		s.logger = zap.NewNop()
	}
	s.logger = s.logger.Named("server")
	panics := contain.New("server", s.logger)
	if s.config.DrainTimeout == 0 {
		s.config.DrainTimeout = writeTimeout
	}
	s.trusted = config.TrustedProxies
	limits, files := keyLimits, descriptors()
	wanted := config.Limits.Connections
	shares := divide(files, config.Memory, config.shape())
	s.waiting = waitingLimits.within(shares.waiting)
	s.waiting.perAddress = min(waitingLimits.perAddress, s.waiting.connections) // one may stand for many cars
	if config.Upstream != nil {
		limits = upstreamLimits
	}
	limits = limits.set(config.Limits).within(shares.key)
	if config.Upstream != nil {
		application := *config.Upstream
		application.Registerer, application.Logger, application.HSTS = config.Registerer, s.logger, config.HSTS
		application.Ended, application.Lingers = s.forget, s.answered
		application.Requests, application.PerClient = limits.requests(), limits.perAddress
		var err error
		if s.upstream, err = upstream.New(application); err != nil {
			return nil, err
		}
	}
	if len(config.Passthrough) > 0 {
		var err error
		if s.passthrough, err = passthrough.New(passthrough.Config{
			Routes: config.Passthrough, Own: config.own, ProxyProtocol: config.PassthroughProxyProtocol, Connections: shares.carried.carried(passthrough.MaxConnections),
			Registerer: config.Registerer, Panics: panics, Logger: s.logger,
		}); err != nil {
			return nil, err
		}
	}
	redirect := config.Limits
	redirect.Connections = keyLimits.connections / 2 // a visit takes no time there, and both may be full
	if limits.connections < wanted {
		s.logger.Warn("max_connections is more than the open files allow, so fewer are held; raise LimitNOFILE or ulimit -n",
			zap.Int("max_connections", wanted), zap.Int("held", limits.connections), zap.Uint64("open_files", files))
	}
	if config.HTTPAddr != "" {
		httpLimits := limits
		if !config.PlainHTTP {
			httpLimits = keyLimits.set(redirect).within(shares.redirect)
		}
		s.http = s.newListener("http", config.HTTPAddr, httpLimits)
		s.http.routes = s.httpRoutes()
	}
	if config.HTTPSAddr != "" {
		tlsConfig, err := harden(config.Certificates.TLSConfig())
		if err != nil {
			return nil, err
		}
		s.https = s.newListener("https", config.HTTPSAddr, limits)
		s.https.routes = s.keyRoutes()
		s.https.secure(tlsConfig)
	}
	var err error
	if s.metrics, err = newMetrics(config.Registerer, s.listeners(), &s.fetches, panics); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return s, nil
}

// own reports whether a name is served by us.
func (c *Config) own(name string) bool {
	if c.Ours != nil {
		return c.Ours(name)
	}
	return name == c.Domain
}

func (c *Config) check() error {
	var faults []error
	fault := func(failed bool, text string) {
		if failed {
			faults = append(faults, errors.New("server: "+text))
		}
	}
	fault(c.Domain == "" && c.Ours == nil, "no domain")
	fault(c.Key == nil, "no source of keys")
	fault(c.HTTPAddr == "" && c.HTTPSAddr == "", "both listeners are switched off, so nobody could fetch the key")
	fault(len(c.Passthrough) > 0 && c.HTTPSAddr == "", "names to pass through without an HTTPS listener")
	fault(c.ProxyProtocol && len(c.TrustedProxies) == 0, "the PROXY protocol without trusted proxies")
	fault(c.HTTPSAddr != "" && c.Certificates == nil, "an HTTPS listener without certificates")
	fault(c.HTTPSAddr == "" && c.HTTPAddr != "" && !c.PlainHTTP,
		"the HTTPS listener is switched off and the HTTP listener only redirects to it, so nobody could fetch the key")
	return errors.Join(faults...)
}

// Inherit has the listener name ("http" or "https") take l, which somebody else
// bound, in the place of its address. It reports whether that listener is switched
// on, and comes before Listen.
func (s *Server) Inherit(name string, l net.Listener) bool {
	for _, on := range s.listeners() {
		if on.name == name {
			on.Socket.Inherit(l)
			return true
		}
	}
	return false
}

// Listen makes one attempt at each address, so that after it the real addresses
// are known. An address that is taken, or not yet on this host, is no error: it
// is logged, and Run goes on trying while the other listener serves. Every other
// failure is an error that names the address, the cause and the fix, and leaves
// nothing bound.
func (s *Server) Listen(ctx context.Context) error {
	for _, l := range s.listeners() {
		if err := l.Listen(ctx); err != nil {
			s.Close()
			return err
		}
	}
	return nil
}

// Run serves until ctx is done, then drains: it accepts nothing new, lets open
// requests end within DrainTimeout, cuts what is left, and returns nil. It
// returns an error only where a listener fails for good.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range s.listeners() {
		// A listener that cannot accept any more serves nobody: then all of it ends.
		group.Go(func() error {
			return s.metrics.panics.Once(func() error { return l.serve(ctx, s.config.DrainTimeout) })
		})
	}
	err := group.Wait()
	if s.upstream != nil {
		s.upstream.Close()
	}
	return err
}

// Close gives up what Listen bound, for when Run will not be called.
func (s *Server) Close() {
	for _, l := range s.listeners() {
		l.Close()
	}
}

// HTTPAddr returns the real address of the HTTP listener, "" while it is not
// bound.
func (s *Server) HTTPAddr() string { return s.http.addr() }

// HTTPSAddr returns the real address of the HTTPS listener, "" while it is not
// bound.
func (s *Server) HTTPSAddr() string { return s.https.addr() }

// addr returns the real address; the nil listener is one that is switched off.
func (l *listener) addr() string {
	if l == nil {
		return ""
	}
	return l.Addr()
}

// Passthrough returns how the names that are passed through stand.
func (s *Server) Passthrough() []passthrough.Status {
	if s.passthrough == nil {
		return nil
	}
	return s.passthrough.Status()
}

// Upstream returns how the application behind stands, nil where there is none.
func (s *Server) Upstream() *upstream.Status {
	if s.upstream == nil {
		return nil
	}
	status := s.upstream.Status()
	return &status
}

// Listeners returns the state of the listeners that are switched on.
func (s *Server) Listeners() []listen.State {
	var states []listen.State
	for _, l := range s.listeners() {
		states = append(states, l.State())
	}
	return states
}

// KeyFetches returns how often each class of client fetched the key in this
// process, and when it last did.
func (s *Server) KeyFetches() []Fetch { return s.fetches.snapshot() }

func (s *Server) listeners() []*listener {
	on := make([]*listener, 0, 2)
	for _, l := range []*listener{s.https, s.http} {
		if l != nil {
			on = append(on, l)
		}
	}
	return on
}
