// Package cli is the command line: it reads the settings, makes every part of
// the program from its piece of them, wires the parts, and owns their life.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"wellkey/internal/config"
	"wellkey/internal/sandbox"
	"wellkey/internal/tty"
)

// Exit codes.
const (
	exitOK        = 0
	exitRuntime   = 1 // failed; of commands that look at something: it must be fixed
	exitSettings  = 2 // wrong settings or usage: a restart does not help
	exitUndecided = 3 // nothing is wrong, but something is open or could not be decided
)

// A Process is what a program has of its surroundings, so that tests can run it
// whole.
type Process struct {
	Args    []string  // without the program's name
	Environ []string  // as os.Environ gives it
	Stdin   io.Reader // nil: there is none
	Stdout  io.Writer
	Stderr  io.Writer
	// Own says that the operating system's process is this program's alone, so that
	// it may be changed: its umask, and what the kernel lets it do. Tests have others
	// beside it.
	Own bool
}

// Run runs the command that p.Args name until it ends or ctx is done, and
// returns the exit code.
func Run(ctx context.Context, p Process) int {
	if p.Own {
		sandbox.PrivateFiles()
		sandbox.NoCoreDump()
	}
	root := rootCommand(p)
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitRuntime
	if said, ok := errors.AsType[exitCode](err); ok {
		return int(said)
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		code = exitSettings
	}
	out := tty.New(p.Stderr, p.Environ)
	out.Print(out.Wrap(0, "wellkey: "+err.Error()) + "\n")
	return code
}

// An exitCode is the error of a command that has said all there is to say, and
// ends with that code.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// A usageError is a mistake of whoever typed the command or the settings.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func rootCommand(p Process) *cobra.Command {
	root := &cobra.Command{
		Use:           "wellkey",
		Short:         "Host the public key of a Tesla Fleet API application",
		Long:          "Host the public key of a Tesla Fleet API application, and keep its registration\ntrue.",
		SilenceErrors: true, // Run prints them, once
		SilenceUsage:  true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2, // two letters swapped
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{config.FlagError(err, cmd.Flags())}
	})
	commands := commandsFor(p)
	root.AddCommand(commands...)
	root.SetHelpCommand(helpCommand())
	root.SetUsageFunc(showUsage(commands))
	root.CompletionOptions.DisableDefaultCmd = true // ours has a help of our own
	return root
}

// commands are all there are, in the order in which the help shows them.
var commands = []struct {
	name string
	make func(Process) *cobra.Command
}{
	{"serve", serveCommand},
	{"doctor", doctorCommand},
	{"register", registerCommand},
	{"keygen", keygenCommand},
	{"status", statusCommand},
	{"sites", sitesCommand},
	{"rotate", rotateCommand},
	{"renew", renewCommand},
	{"migrate", migrateCommand},
	{"healthcheck", healthcheckCommand},
	{"version", versionCommand},
	{"completion", completionCommand},
}

// commandsFor makes the command that the first argument names, alone: the flags of
// all are a thousand, and a tenth of what a start takes of a processor. Whoever names
// none, or has others explained or completed, gets all.
func commandsFor(p Process) []*cobra.Command {
	for _, c := range commands {
		if len(p.Args) > 0 && p.Args[0] == c.name && c.name != "completion" {
			return []*cobra.Command{c.make(p)}
		}
	}
	all := make([]*cobra.Command, len(commands))
	for i, c := range commands {
		all[i] = c.make(p)
	}
	return all
}

// noArguments refuses arguments; on the root command such a one is a command
// that does not exist.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasParent() {
		// It is not shown: it may be a secret whose flag was forgotten.
		return &usageError{fmt.Errorf("%s takes no arguments, but was given one; settings are flags, see %s --help", cmd.CommandPath(), cmd.CommandPath())}
	}
	err := fmt.Errorf("there is no command %q; see wellkey --help", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("there is no command %q; did you mean %q?", args[0], near[0])
	}
	return &usageError{err}
}

// settingsOf returns the settings of a command with their faults as usage
// errors.
func settingsOf(load func() (*config.Settings, error)) (*config.Settings, error) {
	settings, err := load()
	if err != nil {
		return nil, &usageError{fmt.Errorf("the settings are wrong, so nothing was started:\n%w", err)}
	}
	return settings, nil
}
