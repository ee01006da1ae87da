package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
)

func sitesCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sites COMMAND",
		Short: "List, add, remove and check the domains of one process",
		Long: `Work on the sites of a wellkey that hosts several domains: a site is one domain
with its key, its application and its regions. Where they are written, and what
becomes of a change: docs/sites.md.

The commands read the settings of the wellkey that serves, which may be
running: it picks up what is added, changed and removed within seconds.`,
		Example: "  wellkey sites list\n  wellkey sites add example.com --client-id ID --client-secret-file FILE",
		Args:    noSubcommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(sitesListCommand(p), sitesAddCommand(p), sitesRemoveCommand(p), sitesCheckCommand(p))
	return cmd
}

// noSubcommand refuses arguments of a command that has only commands below it.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("%s has no command %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = cmd.Root().SuggestionsMinimumDistance
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%s has no command %q; did you mean %q?", cmd.CommandPath(), args[0], near[0])
	}
	return &usageError{err}
}

// oneSite wants one argument, the domain.
func oneSite(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return &usageError{fmt.Errorf("%s needs one domain, but was given %d arguments; see %s --help", cmd.CommandPath(), len(args), cmd.CommandPath())}
	}
	return nil
}

// sitesDirOf returns an error where the settings have no directory in which sites
// are files, so that a command can neither add nor remove one.
func sitesDirOf(s *config.Settings, doing string) error {
	switch {
	case s.SitesDir != "":
		return nil
	case s.Several():
		return &usageError{fmt.Errorf("sites_dir is not set, and the sites are a list in %s: %s there, and wellkey picks it up within seconds", s.File, doing)}
	}
	return &usageError{errors.New("the settings are for one domain, " + s.Domain + "; to host several, take domain, key and credentials out of them, and set sites_dir: docs/sites.md says how nothing is lost")}
}
