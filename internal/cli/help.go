package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wellkey/internal/config"
)

// helpWidth is how wide the help is, on every terminal and in a pipe.
const helpWidth = 80

// showUsage prints how a command is used, below its description: the line, the
// commands in the order given, examples, and the flags that are its own. The
// settings, which many commands share, are told by "serve --help" only.
func showUsage(commands []*cobra.Command) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		var b strings.Builder
		below := cmd.Commands()
		if cmd.HasParent() {
			fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
		} else {
			b.WriteString("Usage:\n  wellkey COMMAND [flags]\n")
			below = commands
		}
		if len(below) > 0 {
			b.WriteString("\nCommands:\n")
			for _, c := range below {
				fmt.Fprintf(&b, "  %-11s  %s\n", c.Name(), c.Short)
			}
			fmt.Fprintf(&b, "\nEach has its own help: %s COMMAND --help\n", cmd.CommandPath())
		}
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
		}
		own, settings := splitFlags(cmd.Flags())
		if own.HasAvailableFlags() && cmd.HasParent() {
			fmt.Fprintf(&b, "\nFlags:\n%s", own.FlagUsagesWrapped(helpWidth))
		}
		if settings && cmd.Name() != "serve" {
			b.WriteString("\nEvery setting is a flag, too; wellkey serve --help explains them.\n")
		}
		_, err := fmt.Fprint(cmd.OutOrStdout(), b.String())
		return err
	}
}

// explainSettings adds all settings to the description of a command, once somebody
// asks for its help: whoever starts it does not wait for that.
func explainSettings(cmd *cobra.Command) {
	cmd.SetHelpFunc(func(asked *cobra.Command, args []string) {
		brief := cmd.Long
		defer func() { cmd.Long = brief }()
		cmd.Long += "\n\n" + config.HelpTable()
		cmd.Root().HelpFunc()(asked, args)
	})
}

// splitFlags returns the flags that are no settings, and whether there are
// settings.
func splitFlags(all *pflag.FlagSet) (own *pflag.FlagSet, settings bool) {
	own = pflag.NewFlagSet("", pflag.ContinueOnError)
	all.VisitAll(func(f *pflag.Flag) {
		if config.IsSetting(f) {
			settings = true
		} else {
			own.AddFlag(f)
		}
	})
	return own, settings
}

// helpCommand is "wellkey help", which others know as --help.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command",
		Long:    "Explain a command, as its flag --help does.",
		Example: "  wellkey help rotate",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			if len(args) == 0 {
				return root.Help()
			}
			found, rest, err := root.Find(args)
			if err != nil || found == root || len(rest) > 0 {
				return noArguments(root, args)
			}
			found.InitDefaultHelpFlag() // as if it had been run
			return found.Help()
		},
	}
}
