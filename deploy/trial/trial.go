// Package trial is the frame of the programs that try wellkey: it reads their
// command lines, tells what is wrong, and ends them. Each says only what is its own.
package trial

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitOK    = 0
	exitWrong = 1
	exitUsage = 2
)

// Main runs a program in this process, and ends that with the code that run returns.
// The first SIGINT, SIGTERM or other of these signals ends the context, and a second
// one the process.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int, others ...os.Signal) {
	ctx, stop := signal.NotifyContext(context.Background(), append(others, os.Interrupt, syscall.SIGTERM)...)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Run is a whole program, but for its signals: parse reads what the command line asks
// for, and do does that. It returns the exit code, and what went wrong is on stderr
// behind the name.
func Run[O any](name string, args []string, stderr io.Writer, parse func([]string, io.Writer) (O, error), do func(O) error) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return exitUsage
	}
	err = do(o)
	if err == nil {
		return exitOK
	}
	lines := []string{err.Error()}
	if wrong, ok := errors.AsType[Wrong](err); ok {
		lines = wrong
	}
	for _, line := range lines {
		fmt.Fprintf(stderr, "%s: %s\n", name, line)
	}
	return exitWrong
}

// Wrong is the error of a program that ran to its end and saw what must not be: a
// line each, or none where it has told that already.
type Wrong []string

func (w Wrong) Error() string { return "wrong: " + strings.Join(w, "; ") }

// Judge returns Wrong, or nil where nothing is.
func Judge(wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return Wrong(wrong)
}

// Flags returns the command line of a program, without a flag yet. What is wrong with
// one goes to stderr, and so does the usage.
func Flags(name string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	return flags
}

// ErrUsage is the error of a flag with a value that cannot be meant.
var ErrUsage = errors.New("wrong usage; see -help")

// Parse reads a command line that has flags and nothing else.
func Parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return ErrUsage
	}
	return nil
}
