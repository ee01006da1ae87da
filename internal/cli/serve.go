package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/systemd"
	"wellkey/keystore"
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
			load := loader.LoadLive
			if check {
				load = loader.Load
			}
			settings, err := settingsOf(load)
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
			counted := newLogCount()
			log := newLogger(settings.Log, p.Stderr, p.Environ).WithOptions(zap.Hooks(counted.hook))
			defer func() { _ = log.Sync() }()                                   // standard error cannot always be synced
			undo, err := zap.RedirectStdLogAt(log.Named("std"), zap.DebugLevel) // some of certmagic's challenge solvers use it
			if err != nil {
				return err
			}
			defer undo()
			return serve(cmd.Context(), settings, log, counted)
		},
	}
	cmd.Flags().BoolVar(&check, "check-config", false, "check the settings, say what is wrong, and exit")
	loader.AddFlags(cmd.Flags())
	return cmd
}

// serve runs the program until ctx is done or a signal tells it to stop. The
// metrics in more are shown beside its own.
func serve(ctx context.Context, settings *config.Settings, log *zap.Logger, more ...prometheus.Collector) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	unhooked := make(chan struct{})
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		close(unhooked)
	})

	log.Info("wellkey starts", zap.String("version", version()), zap.String("domain", settings.Domain),
		zap.Any("regions", settings.Regions), zap.String("data_dir", settings.DataDir))
	for _, w := range settings.Warnings {
		log.Warn("setting to look at", zap.String("warning", w))
	}
	d, err := build(settings, log, more...)
	if err != nil {
		return err
	}
	defer func() { _ = d.store.Close() }() // after all who use it
	logKey(log, d.keys)
	if err := d.inherit(settings); err != nil {
		return err
	}
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
		<-unhooked // before it is said, so that a second signal after the line counts
		d.stopping.Store(true)
		_ = systemd.Stopping() // a manager that does not hear it waits all the same
		log.Info("stopping")
	})
	err = runAll(ctx, d.actors())
	if err == nil {
		log.Info("stopped")
	}
	return err
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
		log.Warn("key needs attention", zap.String("warning", w))
	}
}
