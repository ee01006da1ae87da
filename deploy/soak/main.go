// Soak keeps wellkey busy for an hour and looks at what that leaves behind: the
// real binary on this machine's loopback, with a CA (Pebble), DNS and a simulated
// Tesla around it, of which one answer in twenty is a fault. Nothing leaves the
// machine. The load is gentle, some sixty operations a second: what is looked for
// grows with time and not with speed.
//
// Usage:
//
//	go run ./deploy/soak [flags]
//
//	-for D          how long the load lasts (1h)
//	-binary FILE    the wellkey to keep busy; without, it is built
//	-report FILE    put the report between the markers in FILE, too
//	-log FILE       write the log of wellkey there
//
// It fails when a byte is wrong; when a client that behaves gets no answer; when
// wellkey contains a panic, writes more lines to its log than anybody reads, or
// does not stop when told; when, a while after the load, it has more goroutines or
// descriptors than before, or series of sites that have gone; and when its memory grows by more than 1 MB an hour,
// which is judged where the load lasts for half an hour and printed where it is
// shorter.
//
// Exit status: 0 all well, 1 something is wrong, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"wellkey/deploy/document"
	"wellkey/internal/testprogram"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options is what the command line asks for.
type options struct {
	long                time.Duration
	binary, report, log string
}

// parse reads the command line. Its error is for whoever typed it.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&o.long, "for", time.Hour, "how long the load lasts")
	flags.StringVar(&o.binary, "binary", "", "the wellkey to keep busy; without, it is built")
	flags.StringVar(&o.report, "report", "", "put the report between the markers in this file, too")
	flags.StringVar(&o.log, "log", "", "write the log of wellkey there")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.long < time.Second {
		return o, errors.New("wrong usage; see -help")
	}
	return o, nil
}

// run is the whole program. It returns the exit code after everything that it
// started has ended.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "soak: %v\n", err)
		return 2
	}
	r, err := soaked(ctx, o, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "soak: %v\n", err)
		return 1
	}
	text := r.markdown()
	fmt.Fprintln(stdout, text)
	if o.report != "" {
		if err := document.Put(o.report, "soak", text); err != nil {
			fmt.Fprintf(stderr, "soak: %v\n", err)
			return 1
		}
	}
	if wrong := r.wrong(); len(wrong) > 0 {
		for _, w := range wrong {
			fmt.Fprintf(stderr, "soak: %s\n", w)
		}
		return 1
	}
	return 0
}

// soaked makes the world, keeps wellkey busy in it, and returns what was seen.
func soaked(ctx context.Context, o options, stderr io.Writer) (r *result, err error) {
	dir, err := os.MkdirTemp("", "wellkey-soak-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.binary == "" {
		o.binary = filepath.Join(dir, "wellkey")
		if err := testprogram.Build(ctx, o.binary); err != nil {
			return nil, err
		}
	}
	s, err := newSoak(o, dir, stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.w.Close()) }()
	return s.run(ctx)
}
