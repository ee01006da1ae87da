package cli

import (
	"context"
	"errors"
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
environment, that over the file, and that over the default.`,
		Example: `  wellkey serve --domain example.com
  wellkey serve --config /etc/wellkey/wellkey.yaml --check-config`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load := func() (*config.Settings, error) { return loader.LoadAll(!check) }
			settings, err := settingsOf(load)
			if err != nil {
				return err
			}
			if check {
				return checkSettings(settings, p)
			}
			counted := newLogCount()
			log := newLogger(settings, p.Stderr, p.Environ).WithOptions(zap.Hooks(counted.hook))
			defer func() { _ = log.Sync() }()                                   // standard error cannot always be synced
			undo, err := zap.RedirectStdLogAt(log.Named("std"), zap.DebugLevel) // some of certmagic's challenge solvers use it
			if err != nil {
				return err
			}
			defer undo()
			limitMemory(p.Environ, log)
			return serve(cmd.Context(), p, settings, load, log, counted)
		},
	}
	cmd.Flags().BoolVar(&check, "check-config", false, "check the settings, say what is wrong, and exit")
	loader.AddFlags(cmd.Flags())
	explainSettings(cmd)
	return cmd
}

// checkSettings says what is wrong with any site, and that the settings are good
// where nothing is.
func checkSettings(settings *config.Settings, p Process) error {
	for _, w := range settings.Warnings {
		fmt.Fprintln(p.Stderr, "warning:", w)
	}
	count := 0
	var errs []error
	for site, err := range settings.Sites() {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		count++
		for _, w := range site.SiteWarnings {
			fmt.Fprintf(p.Stderr, "warning: %s: %s\n", site.Domain, w)
		}
	}
	if len(errs) > 0 {
		return &usageError{fmt.Errorf("the settings of some sites are wrong; those of %d are good:\n%w", count, errors.Join(errs...))}
	}
	what := fmt.Sprintf("%d sites", count)
	if !settings.Several() {
		what = fmt.Sprintf("%s in %v", settings.Domain, settings.Regions)
	}
	_, err := fmt.Fprintf(p.Stdout, "the settings are good: %s\n", what)
	return err
}

// serve runs the program until ctx is done or a signal tells it to stop. The
// metrics in more are shown beside its own.
func serve(ctx context.Context, p Process, settings *config.Settings, load func() (*config.Settings, error), log *zap.Logger, more ...prometheus.Collector) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	unhooked := make(chan struct{})
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		close(unhooked)
	})

	logStart(log, settings)
	for _, w := range settings.Warnings {
		log.Warn("setting needs attention", zap.String("warning", w))
	}
	d, err := build(settings, load, log, more...)
	if err != nil {
		return err
	}
	d.own = p.Own
	d.headroom = p.Own && !given(p.Environ, "GOGC")
	defer func() { _ = d.store.Close() }() // after all who use it
	if d.only != nil {
		logKey(log, d.only.keys)
	}
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
	if p.Own {
		d.confine(p.Environ) // before a stranger's first byte is read
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	context.AfterFunc(ctx, func() {
		<-unhooked // before it is said, so that a second signal after the line counts
		d.stopping.Store(true)
		_ = systemd.Stopping() // a manager that does not hear it waits all the same
		log.Info("stopping")
		end() // now: all may be at rest, and the process at its end before the line
	})
	err = runAll(running, d.panics, d.actors())
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// logStart says who starts, and with what. Of several sites it says where they are
// written: how many there are is logged once they are read.
func logStart(log *zap.Logger, s *config.Settings) {
	fields := []zap.Field{zap.String("version", version())}
	switch {
	case !s.Several():
		fields = append(fields, zap.String("domain", s.Domain), zap.Any("regions", s.Regions))
	case s.SitesDir == "":
		fields = append(fields, zap.Int("sites_listed", s.Listed()))
	default:
		fields = append(fields, zap.Int("sites_listed", s.Listed()), zap.String("sites_dir", s.SitesDir))
	}
	log.Info("wellkey starts", append(fields, zap.String("data_dir", s.DataDir))...)
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
