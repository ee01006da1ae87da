package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/doctor"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// A target is what a command works on that takes any domain as its argument,
// with or without settings.
type target struct {
	typed    string // the domain as it was given
	spelling config.Spelling
	settings *config.Settings
}

// newTarget returns the target that the arguments and settings name. All that is
// wrong with the settings is one usage error.
func newTarget(load func(string) (*config.Settings, error), args []string) (target, error) {
	t := target{}
	if len(args) > 0 {
		t.typed = args[0]
	}
	var err error
	if t.settings, err = load(t.typed); err != nil {
		return target{}, &usageError{fmt.Errorf("the settings are wrong, so nothing was looked at:\n%w", err)}
	}
	if t.typed == "" {
		t.typed = t.settings.Domain
	}
	t.spelling = config.CheckDomain(t.typed)
	return t, nil
}

// own reports whether the key and the application of the settings are those of
// the domain: settings for another domain say nothing about this one.
func (t target) own() bool {
	return t.settings.Domain == "" && !t.settings.Several() || t.settings.Domain == t.spelling.Domain
}

// prober returns the look from outside.
func (t target) prober(log *zap.Logger) (*reach.Prober, error) {
	c := proberConfig(t.settings, log)
	if t.own() && t.settings.Domain != "" && t.settings.TLS.Mode == config.TLSACME {
		// Whoever hosts another domain has a CA of their own choice.
		c.CA, c.FallbackCA = t.settings.ACME.Issuer(), t.settings.ACME.Fallback.Issuer()
		c.Challenge = challengeOf(t.settings)
	}
	return reach.New(c)
}

// local reads the key file, and changes nothing.
func (t target) local() doctor.Local {
	if !t.own() || t.settings.KeyFile == "" {
		return doctor.Local{}
	}
	l := doctor.Local{Path: t.settings.KeyFile}
	keys, err := keystore.Open(keystore.Config{Path: l.Path})
	if err != nil {
		l.Err = err
		return l
	}
	l.Key, l.Warnings = keys.Key(), keys.Status().Warnings
	return l
}

// credentials returns those of the domain's application; zero where there are none.
func (t target) credentials() (fleetapi.Credentials, error) {
	if !t.own() {
		return fleetapi.Credentials{}, nil
	}
	id, secret, err := config.LoadCredentials(t.settings)
	if err != nil {
		return fleetapi.Credentials{}, err
	}
	return fleetapi.Credentials{ClientID: id, ClientSecret: secret}, nil
}

func (t target) client(c fleetapi.Credentials, log *zap.Logger) (*fleetapi.Client, error) {
	return fleetapi.New(fleetapi.Config{
		Credentials: c,
		AuthURL:     t.settings.Tesla.AuthURL,
		BaseURLs:    t.settings.Tesla.APIURLs,
		UserAgent:   "wellkey/" + version(),
		Logger:      log,
	})
}

// proberConfig returns how the settings want the look from outside to be made.
func proberConfig(s *config.Settings, log *zap.Logger) reach.Config {
	return reach.Config{
		Resolvers:    s.Probe.Resolvers,
		Roots:        s.Probe.Roots,
		Port:         s.Probe.Port,
		HTTPPort:     s.Probe.HTTPPort,
		AllowPrivate: s.Probe.AllowPrivate,
		UserAgent:    "wellkey/" + version(),
		Logger:       log,
	}
}

// log returns what the parts at work log to: nothing, since all there is to say is
// printed, unless the settings want to see everything.
func (t target) log(p Process) *zap.Logger {
	if t.settings.Log.Level > zap.DebugLevel {
		return zap.NewNop()
	}
	return newLogger(t.settings, p.Stderr, p.Environ)
}

// oneDomain refuses more than one argument.
func oneDomain(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return &usageError{fmt.Errorf("%s takes one domain, but was given %d: %q", cmd.CommandPath(), len(args), args)}
	}
	return nil
}

// ended returns the error that ends a command with code, after all was printed.
func ended(code int) error {
	if code == exitOK {
		return nil
	}
	return exitCode(code)
}
