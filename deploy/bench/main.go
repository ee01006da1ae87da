// Bench compares wellkey with its peers on this machine's loopback: nginx, HAProxy,
// Caddy, and the least that a server in Go must do. Each is set up as an expert would,
// for the same certificate, the same 178 bytes and the same headers.
//
// Usage:
//
//	go run ./deploy/bench [flags]
//
//	-scenarios LIST  only these; see -list
//	-list            print the scenarios with one line each
//	-repetitions N   how often each is measured (15)
//	-window D        how long one window is (500ms)
//	-foreign PART    how much of a core others may use (0.05)
//	-binary FILE     the wellkey to measure; without, it is built
//	-short           every scenario once, tiny, with no ratios: for its functioning
//	-report          write the documents anew from docs/performance.json
//	-profile         show what wellkey's processor time goes into, beside nobody
//	-pgo FILE        with -profile: leave the profile in FILE, for the compiler, and the
//	                 documents as they are
//
// The server is bound to the first core and the client to the second. All servers are
// up; windows of one scenario lie next to each other, in an order that rotates and
// turns round. What is told of processor time is that of the server, divided by the
// operations of the window; a ratio is formed inside a repetition, and its median told
// with a 90 % bootstrap interval. nginx runs twice: where it does not come out like
// itself, nothing of that scenario is told.
//
// Exit status: 0 measured, 1 something failed, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"wellkey/deploy/trial"
)

func main() { trial.Main(run, syscall.SIGHUP) }

// options is what the command line asks for.
type options struct {
	scenarios   []*scenario
	list, short bool
	report      bool
	profile     bool
	pgo         string
	repetitions int
	window      time.Duration
	foreign     float64
	binary      string

	open    int           // connections that stay open
	many    int           // certificates
	starts  int           // in one window
	counted int           // visits whose system calls are counted
	rest    time.Duration // before memory is looked at

	resting  time.Duration // how long servers are seen without a load
	profiled time.Duration // how long each load is, seconds
}

// parse reads the command line. Its error is for whoever typed it.
func parse(args []string, stderr io.Writer) (options, error) {
	o := options{open: 9800, many: 10_000, starts: 8, counted: 200, rest: 2 * time.Second, resting: 10 * time.Second, profiled: 25 * time.Second}
	flags := trial.Flags("bench", stderr)
	list := flags.String("scenarios", "", "only these, separated by commas")
	flags.BoolVar(&o.list, "list", false, "print the scenarios with one line each")
	flags.IntVar(&o.repetitions, "repetitions", 15, "how often each is measured")
	flags.DurationVar(&o.window, "window", 500*time.Millisecond, "how long one window is")
	flags.Float64Var(&o.foreign, "foreign", 0.05, "how much of a core others may use")
	trial.Binary(flags, &o.binary, "measure")
	flags.BoolVar(&o.short, "short", false, "every scenario once, tiny, with no ratios")
	flags.BoolVar(&o.report, "report", false, "write the documents anew from what was measured last")
	flags.BoolVar(&o.profile, "profile", false, "show what wellkey's processor time goes into, beside nobody")
	flags.StringVar(&o.pgo, "pgo", "", "with -profile: leave the profile in this file, for the compiler")
	if err := trial.Parse(flags, args); err != nil {
		return o, err
	}
	o.scenarios = scenarios
	if *list != "" {
		o.scenarios = nil
		for _, name := range strings.Split(*list, ",") {
			i := slices.IndexFunc(scenarios, func(s *scenario) bool { return s.name == name })
			if i < 0 {
				return o, fmt.Errorf("-scenarios: there is no %q; see -list", name)
			}
			o.scenarios = append(o.scenarios, scenarios[i])
		}
	}
	if o.profile && o.binary != "" {
		return o, errors.New("-profile builds what it profiles, so -binary has no part in it")
	}
	if o.profile && !slices.ContainsFunc(o.scenarios, (*scenario).profiled) {
		return o, errors.New("-profile: none of these scenarios loads wellkey alone")
	}
	if o.pgo != "" && !o.profile {
		return o, errors.New("-pgo is for what -profile finds")
	}
	if o.repetitions < 1 || o.window < 10*time.Millisecond || o.foreign < 0 {
		return o, trial.ErrUsage
	}
	if o.short {
		o.repetitions, o.window, o.foreign = 1, 100*time.Millisecond, 1000
		o.open, o.many, o.starts, o.counted, o.rest, o.resting, o.profiled = 100, 20, 1, 10, 100*time.Millisecond, 100*time.Millisecond, time.Second
	}
	return o, nil
}

// run is the whole program. It returns the exit code after everything that it started
// has ended.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return trial.Run("bench", args, stderr, parse, func(o options) error {
		if o.list {
			for _, s := range scenarios {
				fmt.Fprintf(stdout, "%-12s %s\n", s.name, s.title)
			}
			return nil
		}
		return perform(ctx, o, stdout, stderr)
	})
}
