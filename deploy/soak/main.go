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
// shorter. Where it is judged, wellkey runs with GOGC=100; where it is not, as shipped.
//
// Exit status: 0 all well, 1 something is wrong, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"io"
	"time"

	"wellkey/deploy/document"
	"wellkey/deploy/trial"
)

func main() { trial.Main(run) }

// options is what the command line asks for.
type options struct {
	long                time.Duration
	binary, report, log string
}

// parse reads the command line. Its error is for whoever typed it.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := trial.Flags("soak", stderr)
	flags.DurationVar(&o.long, "for", time.Hour, "how long the load lasts")
	trial.Binary(flags, &o.binary, "keep busy")
	document.Report(flags, &o.report)
	flags.StringVar(&o.log, "log", "", "write the log of wellkey there")
	if err := trial.Parse(flags, args); err != nil {
		return o, err
	}
	if o.long < time.Second {
		return o, trial.ErrUsage
	}
	return o, nil
}

// run is the whole program. It returns the exit code after everything that it
// started has ended.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return trial.Run("soak", args, stderr, parse, func(o options) error {
		var r *result
		of := trial.Revision(ctx, o.binary)
		err := trial.With(ctx, "soak", "", o.binary, func(dir, wellkey string) (err error) {
			o.binary = wellkey
			r, err = soaked(ctx, o, dir, stderr)
			return err
		})
		if err != nil {
			return err
		}
		r.of = of
		if err := document.Tell(stdout, o.report, "soak", r.markdown()); err != nil {
			return err
		}
		return trial.Judge(r.wrong())
	})
}

// soaked makes the world in dir, keeps wellkey busy in it, and returns what was seen.
func soaked(ctx context.Context, o options, dir string, stderr io.Writer) (r *result, err error) {
	s, err := newSoak(o, dir, stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.w.Close()) }()
	return s.run(ctx)
}
