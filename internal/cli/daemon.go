package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/zap"

	"wellkey/internal/admin"
	"wellkey/internal/config"
	"wellkey/internal/probetoken"
	"wellkey/internal/skew"
	"wellkey/internal/storage"
	"wellkey/internal/systemd"
	"wellkey/internal/webconfig"
	"wellkey/keystore"
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
	keys         *keystore.Store
	certificates certificates
	server       *server.Server
	application  *application
	registrar    *registrar.Registrar
	admin        *admin.Admin        // nil: switched off
	web          *webconfig.Follower // nil: nobody is asked for a password
	store        *storage.Store
	watchStorage func(context.Context) error
	stopping     atomic.Bool
}

// build makes the parts in the order in which they need each other: storage,
// key, certificates, public face, the look from outside, Tesla, admin.
func build(settings *config.Settings, log *zap.Logger, more ...prometheus.Collector) (_ *daemon, err error) {
	d := &daemon{log: log}
	registry := prometheus.NewRegistry()
	registry.MustRegister(append(more, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))...)
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
	tellFormerDomains(store, settings.Domain, log)
	wake := func() { d.registrar.Wake(settings.Domain) }
	d.keys, err = keystore.Open(keystore.Config{
		Path:         settings.KeyFile,
		RestoredPath: filepath.Join(settings.Dir, "restored-key.pem"),
		Logger:       log,
		OnChange:     func(keystore.Key) { wake() },
	})
	if err != nil {
		return nil, err
	}
	token, err := probetoken.New()
	if err != nil {
		return nil, err
	}
	tesla := skew.New(nil)
	if d.certificates, err = newCertificates(settings, store, tesla, registry, log, func() *server.Server { return d.server }, wake); err != nil {
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
	d.application = newApplication(settings, fleetapi.Config{
		AuthURL:    settings.Tesla.AuthURL,
		BaseURLs:   settings.Tesla.APIURLs,
		UserAgent:  "wellkey/" + version(),
		Registerer: registry,
		Logger:     log,
		Clock:      tesla,
	}, log)
	d.application.onChange = wake
	if d.registrar, err = registrar.New(d.registrarConfig(settings, prober, store)); err != nil {
		return nil, err
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
		HTTPAddr:       settings.HTTPAddr,
		HTTPSAddr:      settings.HTTPSAddr,
		PlainHTTP:      settings.TLS.Mode == config.TLSOff,
		Key:            func(string) keystore.Key { return d.keys.Key() },
		Certificates:   d.certificates,
		Answer:         token.Answer,
		TrustedProxies: settings.TrustedProxies,
		ProxyProtocol:  settings.ProxyProtocol,
		Passthrough:    passthroughRoutes(settings.Passthrough),
		Upstream:       upstreamConfig(settings.Upstream),

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

func (d *daemon) registrarConfig(settings *config.Settings, prober *reach.Prober, store *storage.Store) registrar.Config {
	return registrar.Config{
		Sites: []registrar.Site{{
			Domain:      settings.Domain,
			Regions:     settings.Regions,
			Accept:      accepted(settings, store, d.log),
			Keys:        d.keys,
			Application: d.application.get,
			Certificate: d.hasCertificate,
		}},
		Prober:  prober,
		Storage: store,
		Shared:  store.IsShared(),
		Logger:  d.log,
	}
}

func (d *daemon) adminConfig(settings *config.Settings, registry *prometheus.Registry) admin.Config {
	return admin.Config{
		Addr:      settings.AdminAddr,
		Version:   version(),
		Registry:  registry,
		Logger:    d.log,
		Sites:     []admin.Site{{Domain: settings.Domain, Key: d.keys.Status, Certificate: d.certificates.Status}},
		Registrar: d.registrar,
		Server:    d.server,
		Web:       d.web,
		Stopping:  d.stopping.Load,
		Reloads:   d.reloads,
		Storage:   d.storageView,
	}
}

// hasCertificate reports whether TLS is served for the domain, by us or by the
// proxy in front of us.
func (d *daemon) hasCertificate() bool {
	s := d.certificates.Status()
	return s.Have || s.Source == "off"
}

// actors returns the running parts in the order in which they stop: visitors
// first (the readiness is gone by then), then whoever works for them, and the
// admin listener last, so that the end can be watched. An attempt at the CA that
// is under way ends before the locks are released; see certs.
func (d *daemon) actors() []actor {
	actors := []actor{
		{"public listeners", d.server.Run},
		{"certificates", d.certificates.Run},
		{"registrar", d.registrar.Run},
		{"credentials", d.application.run},
		{"key file", d.keys.Run},
		{"reload on SIGHUP", d.reloadOnHangup},
		{"proof of the storage", d.watchStorage},
		{"word to the service manager", d.tellManager},
	}
	if d.web != nil {
		actors = append(actors, actor{"web configuration", d.web.Run})
	}
	if d.admin != nil {
		actors = append(actors, actor{"admin listener", d.admin.Run})
	}
	return actors
}

// reloadOnHangup reads key, credentials and certificate files anew at each
// SIGHUP. They are followed anyway; this is for those who do not want to wait.
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
		err := errors.Join(d.keys.Reload(), d.application.reload(true))
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
