package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/durable"
	"wellkey/internal/tty"
)

// removedSites is the directory below sites_dir in which the files of removed
// sites are kept. Nothing reads it.
const removedSites = "removed"

func sitesRemoveCommand(p Process) *cobra.Command {
	loader := config.New(p.Environ)
	yes := false
	cmd := &cobra.Command{
		Use:   "remove DOMAIN",
		Short: "Take a site out; its key and its registration stay",
		Long: `Move the file of a site into the directory "removed" below sites_dir. The
wellkey that serves stops hosting the domain within seconds.

Nothing is deleted: the key, the credentials, certificates and records stay
where they are, and Tesla keeps the registration, since it has no request that
deletes one. Who moves the file back has the site back as it was. While the
domain is not hosted, no owner can pair.

Exit status: 0 removed, 1 there is no such site, or it failed, 2 wrong usage or
settings, 3 not confirmed: nothing was changed.`,
		Example: "  wellkey sites remove example.com\n  wellkey sites remove example.com --yes",
		Args:    oneSite,
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := settingsOf(func() (*config.Settings, error) { return loader.LoadAll(true) })
			if err != nil {
				return err
			}
			return removeSite(cmd.Context(), p, settings, args[0], yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	loader.AddProcessFlags(cmd.Flags())
	return cmd
}

func removeSite(ctx context.Context, p Process, settings *config.Settings, domain string, yes bool) error {
	if err := sitesDirOf(settings, "take the domain "+domain+" out"); err != nil {
		return err
	}
	if err := sameUser(settings); err != nil {
		return err
	}
	switch there, err := siteExists(settings, domain); {
	case err != nil:
		return err
	case !there && listedElsewhere(settings, domain):
		return fmt.Errorf("%s is in the list of sites in %s, not a file in %s: take it out there, and wellkey picks that up within seconds", domain, settings.File, settings.SitesDir)
	case !there:
		return fmt.Errorf("there is no site %q in %s; \"wellkey sites list\" shows them", domain, settings.SitesDir)
	}
	out := tty.New(p.Stdout, p.Environ)
	if !yes {
		if err := askToRemove(p, out, domain); err != nil {
			return err
		}
	}
	path := settings.SiteFile(domain)
	kept := filepath.Join(settings.SitesDir, removedSites, time.Now().UTC().Format("20060102T150405Z")+"-"+filepath.Base(path))
	if err := durable.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return fmt.Errorf("%w\nNothing was removed", err)
	}
	if there, err := exists(kept); err != nil || there { // removed, added and removed in one second
		return errors.Join(fmt.Errorf("there is a file %s already; nothing was removed, try again in a second", kept), err)
	}
	if err := durable.Rename(path, kept); err != nil {
		return err
	}
	out.Printf("Removed %s.\n\n  file  %s\n", out.Bold(domain), kept)
	if there, err := exists(settings.SiteDir(domain)); err == nil && there {
		out.Printf("  kept  %s\n", settings.SiteDir(domain))
	}
	next := "The wellkey that runs stops hosting it within seconds."
	if err := healthcheck(ctx, settings.Admin()); err != nil {
		next = "No wellkey answers on its admin listener; the next one that starts does not host it."
	}
	out.Print("\n" + out.Wrap(0, next+" Its key and all state stay; to have it back, move the file back. Tesla keeps the registration of "+domain+
		", since it has no request that deletes one.") + "\n")
	return out.Err()
}

// askToRemove wants a yes on a terminal.
func askToRemove(p Process, out *tty.Printer, domain string) error {
	out.Print(out.Wrap(0, "Owners cannot pair with "+domain+" while it is not hosted. The file of the site is moved away; its key and all state stay, and so does the registration at Tesla.") + "\n")
	if !isTerminal(p.Stdin) || !isTerminal(p.Stdout) {
		out.Printf("\nNothing is removed yet. To remove it:\n  wellkey sites remove %s --yes\n", domain)
		return errors.Join(exitCode(exitUndecided), out.Err())
	}
	out.Printf("\nTo remove it, type yes.\n> ")
	line, err := bufio.NewReader(p.Stdin).ReadString('\n')
	if err == nil && strings.EqualFold(strings.TrimSpace(line), "yes") {
		return out.Err()
	}
	out.Print("\nNothing was removed.\n")
	return errors.Join(exitCode(exitUndecided), out.Err())
}

// listedElsewhere reports whether a site is one of the list in the settings.
func listedElsewhere(s *config.Settings, domain string) bool {
	list := *s
	list.SitesDir = ""
	_, err := list.FindSite(domain)
	return !errors.Is(err, fs.ErrNotExist)
}

// exists reports whether anything has a name.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
