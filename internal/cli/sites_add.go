package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/durable"
	"wellkey/internal/tty"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

func sitesAddCommand(p Process) *cobra.Command {
	loader, flags := config.New(p.Environ), config.NewSiteFlags()
	cmd := &cobra.Command{
		Use:   "add DOMAIN",
		Short: "Write the file of a new site",
		Long: `Write the file of a new site into sites_dir, from which the wellkey that serves
picks it up within seconds. Flags become lines of the file; without them it is
empty, and the defaults apply: a key is made, and the credentials are expected
in the directory of the site.

Nothing is written if the file exists, if Tesla would not accept the domain, or
if another site has the same key or application: Tesla accepts each for one
domain only.

Exit status: 0 written, 1 refused, or it failed, 2 wrong usage or settings.`,
		Example: `  wellkey sites add example.com
  wellkey sites add example.com --client-id ID --client-secret-file FILE
  wellkey sites add example.com --key-file FILE --regions eu`,
		Args: oneSite,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := settingsOf(func() (*config.Settings, error) { return loader.LoadAll(true) })
			if err != nil {
				return err
			}
			return addSite(cmd.Context(), p, settings, args[0], flags)
		},
	}
	flags.AddFlags(cmd.Flags())
	loader.AddProcessFlags(cmd.Flags())
	return cmd
}

func addSite(ctx context.Context, p Process, settings *config.Settings, domain string, flags *config.SiteFlags) error {
	if err := sitesDirOf(settings, "write the domain "+domain); err != nil {
		return err
	}
	if err := sameUser(settings); err != nil {
		return err
	}
	if spelling := config.CheckDomain(domain); spelling.What != "" {
		return &usageError{fmt.Errorf("the domain %s. %s; nothing was written", spelling.What, spelling.Fix)}
	}
	site, text, err := settings.NewSite(domain, flags)
	if err != nil {
		if bad, ok := errors.AsType[*config.SiteError](err); ok {
			err = bad.Err
		}
		return &usageError{fmt.Errorf("%w\nNothing was written", err)}
	}
	view, err := amongOthers(settings, site)
	if err != nil {
		return fmt.Errorf("%w\nNothing was written", err)
	}
	if err := keyOfBefore(ctx, settings.ForSite(site)); err != nil {
		return fmt.Errorf("%w\nNothing was written", err)
	}
	path := settings.SiteFile(domain)
	err = durable.MkdirAll(settings.SitesDir, 0o700)
	if err == nil {
		err = durable.CreateFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("%w\nNo site was added", err)
	}
	return tellAdded(ctx, p, settings.ForSite(site), view, path)
}

// amongOthers returns how a new site is, or an error where it is one of the sites
// already, or has the key or the application of another one.
func amongOthers(settings *config.Settings, site config.Site) (siteView, error) {
	claims := newClaims()
	for other, err := range settings.Sites() {
		name := other.Domain
		if bad, ok := errors.AsType[*config.SiteError](err); ok {
			name = bad.Name
		}
		if name == site.Domain {
			return siteView{}, fmt.Errorf("%s is one of the sites already; \"wellkey sites check %s\" says how it is", site.Domain, site.Domain)
		}
		readSite(other, err, claims) // what is wrong with others keeps nobody from adding one
	}
	view := readSite(site, nil, claims)
	if len(view.Faults) > 0 {
		return view, errors.New(strings.Join(view.Faults, "\n"))
	}
	return view, nil
}

// keyOfBefore returns an error where the key that Tesla has for the domain lies in
// the data directory, from the time when the process had this domain alone, and the
// new site would not find it there.
func keyOfBefore(ctx context.Context, s *config.Settings) error {
	keys, err := keyOf(s.Site)
	if err != nil || !keys.Key().IsZero() {
		return err
	}
	path := filepath.Join(s.DataDir, "key.pem")
	before, err := keystore.Open(keystore.Config{Path: path})
	if err != nil || before.Key().IsZero() {
		return nil // somebody else's file, or none
	}
	for _, a := range remembered(ctx, s) {
		if a.Key == before.Key() {
			return fmt.Errorf("the key in %s is the one that Tesla has for %s, from the time when it was the only domain here.\n"+
				"Give it to the site: copy it to %s (its directory has mode 0700), or add --key-file %s", path, s.Domain, s.KeyFile, path)
		}
	}
	return nil
}

// tellAdded says what was written, and what is left to do.
func tellAdded(ctx context.Context, p Process, s *config.Settings, view siteView, path string) error {
	out := tty.New(p.Stdout, p.Environ)
	out.Printf("Added %s.\n\n", out.Bold(s.Domain))
	out.Printf("  file  %s\n", path)
	for _, warning := range view.Warnings {
		out.Print(out.Wrap(0, "warning: "+warning) + "\n")
	}
	taken := "The wellkey that runs picks it up within seconds."
	if err := healthcheck(ctx, s.Admin()); err != nil {
		taken = "No wellkey answers on its admin listener; the next one that starts picks the site up."
	}
	steps := []string{
		"DNS: point " + s.Domain + " at this machine, with an A record, and an AAAA record only if IPv6 reaches it. " + taken,
		"Tesla's portal, " + portalOf(s.Regions[0]) + ": make an application for this domain alone, with the allowed origin https://" + s.Domain + " and the grant type \"Authorization Code and Machine-to-Machine\".",
	}
	if view.ClientID == "" {
		where := strings.Join(s.Application.Files(), " and ")
		if s.Application.CredentialsFile != "" {
			where += ", as the two lines client_id: ... and client_secret: ..., mode 0600"
		}
		steps = append(steps, "Credentials: write the client id and the client secret that the portal gives into "+where+"; they are picked up without a restart.")
	}
	key := "Key: wellkey makes one, " + s.KeyFile + ", unless Tesla has one for this domain already."
	if view.Key != "" {
		key = "Key: " + s.KeyFile + ", fingerprint " + view.Key + "."
	}
	steps = append(steps, key+" It commands the cars, so keep a copy.",
		"Then \"wellkey status --domain "+s.Domain+"\" says how it stands, and shows the pairing link.")
	out.Print("\nWhat is next:\n")
	for i, step := range steps {
		out.Printf("  %d. %s\n", i+1, out.Wrap(5, step))
	}
	return out.Err()
}

// portalOf returns where Tesla's portal for a region is.
func portalOf(r fleetapi.Region) string {
	if r == fleetapi.CN {
		return "developer.tesla.cn"
	}
	return "developer.tesla.com"
}

// siteExists reports whether sites_dir has a file for a domain, however it is
// written, and whatever is in it.
func siteExists(s *config.Settings, domain string) (bool, error) {
	if name := domain + ".yaml"; name != filepath.Base(name) || !fs.ValidPath(name) {
		return false, nil
	} else if _, ok := config.SiteFileDomain(name); !ok {
		return false, nil
	}
	return exists(s.SiteFile(domain))
}
