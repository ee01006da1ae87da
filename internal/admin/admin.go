// Package admin is the operator's face: metrics, health, readiness and status,
// on a listener of its own. It reads everybody, changes nothing, and shows no
// secret.
//
//	GET /metrics   Prometheus metrics, OpenMetrics on request
//	GET /healthz   200 while the process is alive
//	GET /readyz    200 while the key can be served, whatever Tesla or the CA say
//	GET /status    the status: a page for browsers, JSON for everybody else
//	GET /          leads to /status
//
// The status takes a query: format=json and format=html say which form, and
// domain=, state= and q= choose among the sites; see [Status] for the JSON,
// which is a contract: fields are added, never renamed or taken away.
package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"wellkey/internal/contain"
	"wellkey/internal/listen"
	"wellkey/internal/webconfig"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/server"
	"wellkey/server/certs"
	"wellkey/server/framing"
	"wellkey/server/passthrough"
	"wellkey/server/upstream"
)

// Config is what the admin listener shows.
type Config struct {
	Addr     string // host:port
	Version  string
	Registry *prometheus.Registry // what /metrics gathers beside the status
	Web      *webconfig.Follower  // asks visitors for TLS and passwords; nil = nobody is asked
	Logger   *zap.Logger          // nil logs nothing

	// Site returns what the registrar does not know of a domain; false = it is gone.
	Site func(domain string) (Site, bool)
	// BadSites returns what is wrong with sites, by their names; nil = there is one
	// domain.
	BadSites  func() map[string]error
	Registrar interface{ Snapshot() registrar.Snapshot }
	Server    interface {
		Listeners() []listen.State
		KeyFetches() []server.Fetch
		Passthrough() []passthrough.Status
		Upstream() *upstream.Status // nil: there is none
	}
	// Storage tells how the storage is; nil = that is not told.
	Storage func() Storage
	// Reloads tells of each part of what is read from files, and followed, whether
	// it is good; nil = nothing is.
	Reloads func() []Reload
	// Stopping reports whether the process was told to stop, so is not ready
	// for new visitors.
	Stopping func() bool
}

// A Site is what the registrar does not know of a domain.
type Site struct {
	Key         keystore.Status
	Certificate certs.Status
}

// An Admin is the admin listener.
type Admin struct {
	config    Config
	now       func() time.Time
	started   time.Time
	page      *page
	socket    *listen.Socket
	server    *http.Server
	panics    *contain.Part
	collector *collector
}

// New returns an Admin that does nothing yet.
func New(c Config) (*Admin, error) { return newAdmin(c, time.Now) }

func newAdmin(c Config, now func() time.Time) (*Admin, error) {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	log := c.Logger.Named("admin")
	a := &Admin{config: c, now: now, started: now(), panics: contain.New("admin", log)}
	var err error
	if a.page, err = newPage(); err != nil {
		return nil, fmt.Errorf("reading the embedded status page: %w", err)
	}
	a.collector = newCollector(a.unjudged, c.Reloads, a.panics)
	if err := c.Registry.Register(a.panics); err != nil {
		return nil, fmt.Errorf("registering the metrics of panics: %w", err)
	}
	a.socket = listen.New("admin", c.Addr, log)
	a.server = &http.Server{
		Handler:           a.contained(a.routes()),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // a scrape of thousands of sites over a slow link
		IdleTimeout:       2 * time.Minute,  // longer than the usual interval between scrapes
		MaxHeaderBytes:    16 << 10,
		ConnState:         newPlaces(mostConnections, keptPlaces, now).state,
		// A page is one answer; browsers ask for few things more.
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: 16, MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10, WriteByteTimeout: 10 * time.Second},
		ErrorLog: zap.NewStdLog(log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	a.protect()
	return a, nil
}

// A short listener ends connections whose headers have too many fields; see
// framing.MostFields.
type short struct{ net.Listener }

// Accept implements net.Listener.
func (s short) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return framing.Few(conn), nil
}

// protect has the web configuration decide about TLS.
func (a *Admin) protect() {
	if a.config.Web != nil {
		a.server.TLSConfig = a.config.Web.TLSConfig()
	}
	if a.server.TLSConfig == nil {
		a.socket.Front(func(bound net.Listener) net.Listener { return short{bound} })
		return
	}
	if !a.config.Web.HTTP2() {
		a.server.Protocols = new(http.Protocols)
		a.server.Protocols.SetHTTP1(true)
	}
}

func (a *Admin) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", plainOverLoopback(promhttp.HandlerForTransactional(a.all(), promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		// A scrape of thousands of domains takes some 100 MB while it is made.
		MaxRequestsInFlight: 4,
		Registry:            a.config.Registry,
	})))
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("GET /icon.svg", a.page.icon)
	mux.HandleFunc("GET /{$}", toStatus)
	if a.config.Web != nil {
		return guard(a.config.Web.Handler(mux)) // what a page elsewhere must not read needs no password to be refused
	}
	return guard(mux)
}

// contained has a panic in next cost one request. net/http would survive it, too,
// but log its words.
func (a *Admin) contained(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.panics.Do(func() { next.ServeHTTP(w, r) }) {
			panic(http.ErrAbortHandler) // part of the answer may be out, so it is cut
		}
	})
}

// plainOverLoopback has next compress nothing for whoever is on this machine: that
// would only cost it time.
func plainOverLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if overLoopback(r) {
			r = r.Clone(r.Context())
			r.Header.Del("Accept-Encoding")
		}
		next.ServeHTTP(w, r)
	})
}

// Listen makes the first attempt at the address; see listen.Socket.
func (a *Admin) Listen(ctx context.Context) error { return a.socket.Listen(ctx) }

// Inherit has the listener take l in the place of its address; it comes before
// Listen.
func (a *Admin) Inherit(l net.Listener) { a.socket.Inherit(l) }

// Run serves until ctx is done, then lets open requests end.
func (a *Admin) Run(ctx context.Context) error { return a.socket.Serve(ctx, a.server, 5*time.Second) }
