package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/tty"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/reach"
)

func registerCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	asJSON := false
	cmd := &cobra.Command{
		Use:   "register [DOMAIN]",
		Short: "Register a key that is hosted anywhere, once, in every region",
		Long: `Make one attempt to register the domain in every region with the key that it
publishes, whoever hosts it: wellkey, a web server, GitHub Pages. Look from
outside first, ask Tesla which key it has, register where it has none, and read
the key back.

A registered key that is another one is never replaced, unless --accept-key
names the fingerprint of the published key: every owner must then pair again. If
the settings know the key file of the domain, the published key must be that
one.
No state is read or kept.

Exit status: 0 registered in every region, 1 something must be fixed, 2 wrong
usage or settings, 3 undecided, or Tesla is not available: try again later.`,
		Example: `  wellkey register example.com --client-id ID --client-secret-file secret
  wellkey register --json --config /etc/wellkey/wellkey.yaml`,
		Args: oneDomain,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newTarget(loader.LoadFor, args)
			if err != nil {
				return err
			}
			return register(cmd.Context(), p, t, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the outcome as JSON")
	loader.AddFlags(cmd.Flags())
	return cmd
}

// register makes the attempt and prints what came of it.
func register(ctx context.Context, p Process, t target, asJSON bool) error {
	if t.spelling.What != "" {
		return &usageError{fmt.Errorf("the domain %s. %s; nothing was registered", t.spelling.What, t.spelling.Fix)}
	}
	out := tty.New(p.Stdout, p.Environ)
	if !asJSON {
		out.Waiting("looking at " + t.spelling.Domain + ", and registering ...")
	}
	a, err := attempt(ctx, t, t.log(p))
	if err != nil {
		out.Waiting("")
		return err
	}
	if asJSON {
		return cmp.Or(printJSON(p.Stdout, a), ended(exitOf(a.Outcome)))
	}
	a.print(out)
	return cmp.Or(out.Err(), ended(exitOf(a.Outcome)))
}

// attempt looks from outside for the key to register, and registers it.
func attempt(ctx context.Context, t target, log *zap.Logger) (registration, error) {
	application, err := t.application(log)
	if err != nil {
		return registration{}, err
	}
	prober, err := t.prober(log)
	if err != nil {
		return registration{}, err
	}
	local := t.local()
	if local.Err != nil {
		return registration{}, local.Err
	}
	domain, key := t.spelling.Domain, local.Key
	if key.IsZero() {
		report := prober.Check(ctx, domain, key)
		if key = publishedKey(report); key.IsZero() {
			return newRegistration(registrar.SiteSnapshot{Domain: domain, Look: &report}), nil
		}
	}
	return newRegistration(registrar.Once(ctx, registrar.Site{
		Domain:      domain,
		Regions:     t.settings.Regions,
		Accept:      func(key, _ keystore.Key) bool { return key.Fingerprint() == t.settings.AcceptKey },
		Keys:        foundKey{key},
		Application: func() registrar.Application { return application },
	}, prober, log)), nil
}

// application returns the application of the domain. To have none is a mistake
// here.
func (t target) application(log *zap.Logger) (registrar.Application, error) {
	c, err := t.credentials()
	switch {
	case err != nil:
		return registrar.Application{}, &usageError{fmt.Errorf("the credentials are wrong:\n%w", err)}
	case c.IsZero() && !t.own() && t.settings.Several():
		return registrar.Application{}, &usageError{fmt.Errorf("%s is none of the sites in the settings, so there are no credentials for it: add it (wellkey sites add %s), or give other settings", t.spelling.Domain, t.spelling.Domain)}
	case c.IsZero() && !t.own():
		return registrar.Application{}, &usageError{fmt.Errorf("the settings, and so the credentials, are for %s, not for %s: Tesla requires an application of its own for every domain", t.settings.Domain, t.spelling.Domain)}
	case c.IsZero():
		return registrar.Application{}, &usageError{errors.New("there are no credentials: give client_id and client_secret_file, or a credentials_file that is there")}
	}
	client, err := t.client(c, log)
	if err != nil {
		return registrar.Application{}, &usageError{err}
	}
	return registrar.Application{ClientID: c.ClientID, Digest: digest(c), API: client}, nil
}

// publishedKey returns the key that the domain gives, the first where its
// addresses give several: that they differ is found when it is looked for.
func publishedKey(report reach.Report) keystore.Key {
	for _, a := range report.Addresses {
		if a.OK {
			return a.Key
		}
	}
	return keystore.Key{}
}

// foundKey is the key store of a key that somebody else keeps. Once only asks
// for the key.
type foundKey struct{ key keystore.Key }

func (k foundKey) Key() keystore.Key             { return k.key }
func (foundKey) Generate() (keystore.Key, error) { return keystore.Key{}, errElsewhere }
func (foundKey) Restore(keystore.Key) error      { return errElsewhere }

var errElsewhere = errors.New("the key is kept elsewhere")
