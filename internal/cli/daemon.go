package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"wellkey/internal/admin"
	"wellkey/internal/config"
	"wellkey/internal/contain"
	"wellkey/internal/probetoken"
	"wellkey/internal/sites"
	"wellkey/internal/skew"
	"wellkey/internal/storage"
	"wellkey/internal/systemd"
	"wellkey/internal/webconfig"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server"
	"wellkey/server/passthrough"
	"wellkey/server/upstream"
)

// A daemon is all the parts of the program that serves, wired but not started.
type daemon struct {
	log          *zap.Logger
	settings     *config.Settings
	sites        *sites.Set[*hosted]
	only         *hosted // the one domain; nil where the settings have several sites
	claims       *claims
	tesla        *fleetapi.Service
	certificates certificates
	server       *server.Server
	registrar    *registrar.Registrar
	admin        *admin.Admin        // nil: switched off
	web          *webconfig.Follower // nil: nobody is asked for a password
	store        *storage.Store
	watchStorage func(context.Context) error
	sandbox      sandboxMetrics
	panics       *contain.Part // of the parts that are here
	confined     atomic.Bool   // by landlock
	stopping     atomic.Bool
	loaded       chan struct{} // closed when all sites were read
	settled      chan struct{} // closed when all that began is done, where they are many
	headroom     bool          // the collector is ours to tune
	own          bool          // the process is
}

// build makes the parts in the order in which they need each other: storage,
// certificates, public face, the look from outside, Tesla, the sites, admin. One
// domain is opened at once, and a key file that cannot be used is an error; of
// several sites, which load reads again, each may be bad by itself, and they are
// opened once the listeners serve.
func build(settings *config.Settings, load func() (*config.Settings, error), log *zap.Logger, more ...prometheus.Collector) (_ *daemon, err error) {
	d := &daemon{log: log, settings: settings, claims: newClaims(), loaded: make(chan struct{}), settled: make(chan struct{}), panics: contain.New("daemon", log)}
	registry := prometheus.NewRegistry()
	registry.MustRegister(append(more, d.panics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))...)
	if d.sandbox, err = newSandboxMetrics(registry); err != nil {
		return nil, err
	}
	store, err := openStorage(settings, registry, log)
	if err != nil {
		return nil, err
	}
	d.store = store
	defer func() {
		if err != nil {
			_ = store.Close()
		}
	}()
	d.watchStorage = watchStorage(store, proveStorage, log)
	token, err := probetoken.New()
	if err != nil {
		return nil, err
	}
	clock := skew.New(nil)
	wake := func(domain string) { d.registrar.Wake(domain) }
	if d.certificates, err = newCertificates(settings, store, clock, registry, log, func() *server.Server { return d.server }, wake, d.missing()); err != nil {
		return nil, err
	}
	if d.server, err = server.New(d.serverConfig(settings, token, registry)); err != nil {
		return nil, err
	}
	look := proberConfig(settings, log)
	look.Token, look.Registerer = token, registry
	prober, err := reach.New(look)
	if err != nil {
		return nil, err
	}
	if d.tesla, err = fleetapi.NewService(fleetapi.Config{
		AuthURL:    settings.Tesla.AuthURL,
		BaseURLs:   settings.Tesla.APIURLs,
		UserAgent:  "wellkey/" + version(),
		Registerer: registry,
		Logger:     log,
		Clock:      clock,
	}); err != nil {
		return nil, err
	}
	if d.registrar, err = registrar.New(registrar.Config{Prober: prober, Storage: store, Shared: store.IsShared(), Registerer: registry, Logger: log}); err != nil {
		return nil, err
	}
	loaded := sync.OnceFunc(func() { close(d.loaded) })
	d.sites = sites.New(sites.Config[*hosted]{Settings: settings, Load: load, Open: d.openSite, Close: d.closeSite, Loaded: func(int) { loaded() }, Logger: log})
	if !settings.Several() {
		tellFormerDomains(store, settings.Domain, log)
		if d.only, err = d.openSite(settings.Site, nil); err != nil {
			return nil, err
		}
	}
	if settings.AdminAddr != "" && settings.AdminWebConfig != "" {
		if d.web, err = webconfig.New(settings.AdminWebConfig, log); err != nil {
			return nil, err
		}
	}
	if settings.AdminAddr != "" {
		d.admin, err = admin.New(d.adminConfig(settings, registry))
	}
	return d, err
}

func (d *daemon) serverConfig(settings *config.Settings, token *probetoken.Token, registry *prometheus.Registry) server.Config {
	return server.Config{
		Domain:         settings.Domain,
		Ours:           d.ours(),
		HTTPAddr:       settings.HTTPAddr,
		HTTPSAddr:      settings.HTTPSAddr,
		PlainHTTP:      settings.TLS.Mode == config.TLSOff,
		Key:            d.key,
		Certificates:   d.certificates,
		Answer:         token.Answer,
		TrustedProxies: settings.TrustedProxies,
		ProxyProtocol:  settings.ProxyProtocol,
		Passthrough:    passthroughRoutes(settings.Passthrough),
		Upstream:       upstreamConfig(settings.Upstream),
		Limits:         server.Limits(settings.Limits),
		Memory:         memoryLimit(),
		HSTS:           settings.HSTS,

		PassthroughProxyProtocol: settings.Passthrough.ProxyProtocol,

		Registerer: registry,
		Logger:     d.log,
	}
}

func passthroughRoutes(p config.Passthrough) []passthrough.Route {
	var routes []passthrough.Route
	for _, r := range p.Routes {
		routes = append(routes, passthrough.Route{Name: r.Name, Target: r.Target})
	}
	return routes
}

// upstreamConfig returns where the application is, nil where there is none.
func upstreamConfig(u config.Upstream) *upstream.Config {
	if !u.Given() {
		return nil
	}
	return &upstream.Config{Scheme: u.Scheme, Addr: u.Addr, Socket: u.Socket, Roots: u.Roots, SkipVerify: u.SkipVerify}
}

func (d *daemon) adminConfig(settings *config.Settings, registry *prometheus.Registry) admin.Config {
	return admin.Config{
		Addr:      settings.AdminAddr,
		Version:   version(),
		Registry:  registry,
		Logger:    d.log,
		Site:      d.adminSite,
		BadSites:  d.sites.Faults,
		Registrar: d.registrar,
		Server:    d.server,
		Web:       d.web,
		Stopping:  d.stopping.Load,
		Reloads:   d.reloads,
		Storage:   d.storageView,
	}
}

// adminSite returns what the admin listener shows of a domain beside what the
// registrar knows.
func (d *daemon) adminSite(domain string) (admin.Site, bool) {
	h := d.only
	if h == nil {
		var ours bool
		if h, ours = d.sites.Get(domain); !ours {
			return admin.Site{}, false
		}
	}
	return admin.Site{Key: h.keys.Status(), Certificate: d.certificates.Status(domain)}, true
}

// again has an actor go on after a panic.
func (d *daemon) again(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return d.panics.Again(ctx, run) }
}

// actors returns the running parts in the order in which they stop: visitors
// first (the readiness is gone by then), then whoever works for them, and the
// admin listener last, so that the end can be watched. An attempt at the CA that
// is under way ends before the locks are released; see certs.
func (d *daemon) actors() []actor {
	actors := []actor{
		{"public listeners", d.server.Run},
		{"certificates", afterVisitors(d.certify)},
		{"registrar", afterVisitors(d.register)},
		{"key and credentials files", afterVisitors(d.again(d.followSites))},
		{"reload on SIGHUP", d.again(d.reloadOnHangup)},
		{"end of the start", d.again(d.endStart)},
		{"proof of the storage", afterVisitors(d.again(d.lookAfterStorage))},
		{"word to the service manager", d.again(d.tellManager)},
		{"headroom of the collector", d.again(d.keepHeadroom)},
	}
	if d.settings.Several() {
		actors = append(actors, actor{"sites", d.again(d.hostSites)})
	}
	if d.web != nil {
		actors = append(actors, actor{"web configuration", d.again(d.web.Run)})
	}
	if d.admin != nil {
		actors = append(actors, actor{"admin listener", d.admin.Run})
	}
	return actors
}

// lookAfterStorage makes up for what the start left out, and goes on with it.
func (d *daemon) lookAfterStorage(ctx context.Context) error {
	d.store.Prove(ctx)
	return d.watchStorage(ctx)
}

// reloadOnHangup reads key, credentials and certificate files anew at each SIGHUP,
// and asks Tesla again where that failed. The files are followed anyway; this is for
// those who do not want to wait.
func (d *daemon) reloadOnHangup(ctx context.Context) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
		}
		_ = systemd.Reloading() // see tellManager, which complains
		err := d.reloadSites(ctx)
		for domain := range d.all {
			d.registrar.Hurry(domain)
		}
		if files, ok := d.certificates.(interface{ Reload() error }); ok {
			err = errors.Join(err, files.Reload())
		}
		if d.web != nil {
			err = errors.Join(err, d.web.Reload())
		}
		_ = systemd.Ready()
		if err != nil {
			d.log.Error("reload left the last good state in use", zap.Error(err))
			continue
		}
		d.log.Info("reloaded")
	}
}
