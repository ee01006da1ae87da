// Package admin is the operator's face: metrics, health, readiness and status,
// on a listener of its own. It reads everybody, changes nothing, and shows no
// secret.
//
//	GET /metrics   Prometheus metrics, OpenMetrics on request
//	GET /healthz   200 while the process is alive
//	GET /readyz    200 while the key can be served, whatever Tesla or the CA say
//	GET /status    the status as JSON
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"wellkey/internal/listen"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/server"
	"wellkey/server/certs"
)

// Config is what the admin listener shows.
type Config struct {
	Addr     string // host:port
	Version  string
	Registry *prometheus.Registry // what /metrics gathers; the collector of the status is added to it
	Logger   *zap.Logger          // nil logs nothing

	Sites     []Site
	Registrar interface{ Snapshot() registrar.Snapshot }
	Server    interface {
		Listeners() []listen.State
		KeyFetches() []server.Fetch
	}
	// Stopping reports whether the process was told to stop, so is not ready
	// for new visitors.
	Stopping func() bool
}

// A Site is where to look for what the registrar does not know of a domain.
type Site struct {
	Domain      string
	Key         func() keystore.Status
	Certificate func() certs.Status
}

// An Admin is the admin listener.
type Admin struct {
	config  Config
	started time.Time
	socket  *listen.Socket
	server  *http.Server
}

// New returns an Admin that does nothing yet.
func New(c Config) (*Admin, error) {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	log := c.Logger.Named("admin")
	a := &Admin{config: c, started: time.Now()}
	if err := c.Registry.Register(newCollector(a.Status)); err != nil {
		return nil, fmt.Errorf("registering the metrics of the status: %w", err)
	}
	a.socket = listen.New("admin", c.Addr, log)
	a.server = &http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // a scrape of thousands of sites over a slow link
		IdleTimeout:       2 * time.Minute,  // longer than the usual interval between scrapes
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(log.WithOptions(zap.IncreaseLevel(zap.ErrorLevel))),
	}
	return a, nil
}

func (a *Admin) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.config.Registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		Registry:          a.config.Registry,
	}))
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /status", a.status)
	return mux
}

// Listen makes the first attempt at the address; see listen.Socket.
func (a *Admin) Listen(ctx context.Context) error { return a.socket.Listen(ctx) }

// Addr returns the real address, "" while it is not bound.
func (a *Admin) Addr() string { return a.socket.Addr() }

// Run serves until ctx is done, then lets open requests end.
func (a *Admin) Run(ctx context.Context) error { return a.socket.Serve(ctx, a.server, 5*time.Second) }

// Close gives up the address, for when Run will not be called.
func (a *Admin) Close() { a.socket.Close() }

// health answers that the process is alive, and nothing more: a restart heals
// neither Tesla nor the CA.
func (a *Admin) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "ok") // the visitor is gone, if this fails
}

// ready answers whether the key can be served, and if not, why.
func (a *Admin) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := a.notReady(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}

// notReady returns why the key cannot be served: nil when it can. Before the
// first certificate it can be: the CA must reach us to give one.
func (a *Admin) notReady() error {
	if a.config.Stopping() {
		return errors.New("stopping")
	}
	bound := false
	for _, l := range a.config.Server.Listeners() {
		bound = bound || l.Bound
	}
	if !bound {
		return errors.New("no public listener is bound yet")
	}
	for _, s := range a.config.Registrar.Snapshot().Sites {
		if s.Key.IsZero() && len(a.config.Sites) == 1 {
			return fmt.Errorf("no key for %s yet: %s", s.Domain, s.KeyNote.Reason)
		}
	}
	return nil
}

func (a *Admin) status(w http.ResponseWriter, _ *http.Request) {
	body, err := json.MarshalIndent(a.Status(), "", "  ")
	if err != nil {
		http.Error(w, "encoding the status failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
}
