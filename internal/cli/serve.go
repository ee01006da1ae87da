package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"wellkey/internal/admin"
	"wellkey/internal/config"
	"wellkey/internal/probetoken"
	"wellkey/internal/storage"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server"
)

func serveCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	check := false
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Host the key and keep it registered",
		Long: `Host the key of a domain over HTTPS, with certificates obtained automatically,
register it with Tesla in every region, and keep both true until stopped.

Each setting has one name in three spellings: a flag, an environment variable,
and a key of the YAML file that --config names. A flag wins over the
environment, that over the file, and that over the default.

` + config.HelpTable(),
		Example: `  wellkey serve --domain example.com
  wellkey serve --config /etc/wellkey/wellkey.yaml --check-config`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := settingsOf(loader)
			if err != nil {
				return err
			}
			if check {
				for _, w := range settings.Warnings {
					fmt.Fprintln(p.Stderr, "warning:", w)
				}
				_, err := fmt.Fprintf(p.Stdout, "the settings are good: %s in %v\n", settings.Domain, settings.Regions)
				return err
			}
			log := newLogger(settings.Log, p.Stderr)
			defer func() { _ = log.Sync() }()                                   // standard error cannot always be synced
			undo, err := zap.RedirectStdLogAt(log.Named("std"), zap.DebugLevel) // some of certmagic's challenge solvers use it
			if err != nil {
				return err
			}
			defer undo()
			return serve(cmd.Context(), settings, log)
		},
	}
	cmd.Flags().BoolVar(&check, "check-config", false, "check the settings, say what is wrong, and exit")
	loader.AddFlags(cmd.Flags())
	return cmd
}

// serve runs the program until ctx is done or a signal tells it to stop.
func serve(ctx context.Context, settings *config.Settings, log *zap.Logger) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	defer stop()

	log.Info("wellkey starts", zap.String("version", version()), zap.String("domain", settings.Domain),
		zap.Any("regions", settings.Regions), zap.String("data_dir", settings.DataDir))
	for _, w := range settings.Warnings {
		log.Warn("setting to look at", zap.String("warning", w))
	}
	d, err := build(settings, log)
	if err != nil {
		return err
	}
	logKey(log, d.keys)
	if err := d.server.Listen(ctx); err != nil {
		return err
	}
	if d.admin != nil {
		if err := d.admin.Listen(ctx); err != nil {
			d.server.Close()
			return err
		}
	}
	context.AfterFunc(ctx, func() {
		stop() // before it is said, so that a second signal after the line counts
		d.stopping.Store(true)
		log.Info("stopping")
	})
	err = runAll(ctx, d.actors())
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// A daemon is all the parts of the program that serves, wired but not started.
type daemon struct {
	log          *zap.Logger
	keys         *keystore.Store
	certificates certificates
	server       *server.Server
	application  *application
	registrar    *registrar.Registrar
	admin        *admin.Admin // nil: switched off
	stopping     atomic.Bool
}

// build makes the parts in the order in which they need each other: storage,
// key, certificates, public face, the look from outside, Tesla, admin.
func build(settings *config.Settings, log *zap.Logger) (*daemon, error) {
	d := &daemon{log: log}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	store, err := storage.New(storage.Config{Path: filepath.Join(settings.DataDir, "state"), Registerer: registry, Logger: log})
	if err != nil {
		return nil, err
	}
	tellFormerDomains(store, settings.Domain, log)
	wake := func() { d.registrar.Wake(settings.Domain) }
	d.keys, err = keystore.Open(keystore.Config{
		Path:         settings.KeyFile,
		RestoredPath: filepath.Join(settings.DataDir, "restored-key.pem"),
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
	if d.certificates, err = newCertificates(settings, store, registry, log, func() *server.Server { return d.server }, wake); err != nil {
		return nil, err
	}
	if d.server, err = server.New(server.Config{
		Domain:       settings.Domain,
		HTTPAddr:     settings.HTTPAddr,
		HTTPSAddr:    settings.HTTPSAddr,
		PlainHTTP:    settings.TLS.Mode == config.TLSOff,
		Key:          func(string) keystore.Key { return d.keys.Key() },
		Certificates: d.certificates,
		Answer:       token.Answer,
		Registerer:   registry,
		Logger:       log,
	}); err != nil {
		return nil, err
	}
	look := proberConfig(settings, log)
	look.Token = token
	prober, err := reach.New(look)
	if err != nil {
		return nil, err
	}
	if d.application, err = newApplication(settings, fleetapi.Config{
		AuthURL:    settings.Tesla.AuthURL,
		BaseURLs:   settings.Tesla.APIURLs,
		UserAgent:  "wellkey/" + version(),
		Registerer: registry,
		Logger:     log,
	}, log); err != nil {
		return nil, err
	}
	d.application.onChange = wake
	if d.registrar, err = registrar.New(registrar.Config{
		Sites: []registrar.Site{{
			Domain:      settings.Domain,
			Regions:     settings.Regions,
			Accept:      accepted(settings, store, log),
			Keys:        d.keys,
			Application: d.application.get,
			Certificate: d.hasCertificate,
		}},
		Prober:  prober,
		Storage: store,
		Logger:  log,
	}); err != nil {
		return nil, err
	}
	if settings.AdminAddr == "" {
		return d, nil
	}
	d.admin, err = admin.New(admin.Config{
		Addr:      settings.AdminAddr,
		Version:   version(),
		Registry:  registry,
		Logger:    log,
		Sites:     []admin.Site{{Domain: settings.Domain, Key: d.keys.Status, Certificate: d.certificates.Status}},
		Registrar: d.registrar,
		Server:    d.server,
		Stopping:  d.stopping.Load,
	})
	return d, err
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
		err := errors.Join(d.keys.Reload(), d.application.reload())
		if files, ok := d.certificates.(interface{ Reload() error }); ok {
			err = errors.Join(err, files.Reload())
		}
		if err != nil {
			d.log.Error("reload left the last good state in use", zap.Error(err))
			continue
		}
		d.log.Info("reloaded")
	}
}

func logKey(log *zap.Logger, keys *keystore.Store) {
	status := keys.Status()
	if keys.Key().IsZero() {
		log.Info("no key file yet", zap.String("path", status.Path))
		return
	}
	log.Info("key loaded", zap.String("fingerprint", keys.Key().Fingerprint()), zap.String("origin", string(status.Origin)),
		zap.String("path", status.Path), zap.Bool("private_half", status.Private))
	for _, w := range status.Warnings {
		log.Warn("key file to look at", zap.String("warning", w))
	}
}
