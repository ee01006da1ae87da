// Scale measures wellkey with many sites in one process: the real binary, on this
// machine's loopback, with a CA (Pebble), DNS and a simulated Tesla around it.
// Nothing leaves the machine. What it measures it prints as the tables of
// docs/performance.md.
//
// Usage:
//
//	go run ./deploy/scale [flags]
//
//	-sites LIST     numbers of sites, upwards (1,10,100,1000,10000,100000)
//	-cold N         sites that begin with nothing, until all are registered (200);
//	                0 leaves that out
//	-seconds N      how long handshakes are made against each number of sites (12)
//	-patience D     how long to wait for any one thing (5m)
//	-binary FILE    the wellkey to measure; without, it is built
//	-dir DIR        where to keep what is needed for it, and removed at the end;
//	                100,000 sites take 3 GB and 900,000 files for a while
//
// There are three parts. The first gives the process sites whose keys and
// certificates lie in the storage already, starts it, and adds one more site. The
// second makes TLS handshakes with one of these sites, with a thousand of them,
// and with all, in turns. The third starts with no key and no certificate.
//
// Exit status: 0 measured, 1 something failed, 2 wrong usage.
package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"wellkey/deploy/trial"
)

func main() { trial.Main(run) }

// options is what the command line asks for.
type options struct {
	sites       []int
	cold        int
	handshaking time.Duration
	patience    time.Duration
	binary, dir string
}

// parse reads the command line. Its error is for whoever typed it.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := trial.Flags("scale", stderr)
	list := flags.String("sites", "1,10,100,1000,10000,100000", "numbers of sites, upwards")
	seconds := flags.Int("seconds", 12, "how long handshakes are made against each number of sites")
	flags.IntVar(&o.cold, "cold", 200, "sites that begin with nothing; 0 leaves that out")
	flags.DurationVar(&o.patience, "patience", 5*time.Minute, "how long to wait for any one thing")
	trial.Binary(flags, &o.binary, "measure")
	flags.StringVar(&o.dir, "dir", "", "where to keep what is needed for it")
	if err := trial.Parse(flags, args); err != nil {
		return o, err
	}
	o.handshaking = time.Duration(*seconds) * time.Second
	last := 0
	for _, word := range strings.FieldsFunc(*list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(word)
		if err != nil || n <= last {
			return o, fmt.Errorf("-sites: %q is no number above the one before it", word)
		}
		o.sites, last = append(o.sites, n), n
	}
	if o.cold < 0 || *seconds < 1 {
		return o, trial.ErrUsage
	}
	return o, nil
}

// run is the whole program. It returns the exit code after everything that it
// started has ended.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return trial.Run("scale", args, stderr, parse, func(o options) error {
		return trial.With(ctx, "scale", o.dir, o.binary, func(dir, wellkey string) error {
			o.binary = wellkey
			return measure(ctx, o, dir, stdout, trial.Say(stderr))
		})
	})
}

// measure makes all measurements in dir, and prints each table when it is whole.
func measure(ctx context.Context, o options, dir string, stdout io.Writer, say func(string, ...any)) error {
	t := tables{out: stdout}
	t.machine(ctx, o.binary)
	if len(o.sites) > 0 {
		t.many(nil)
		if err := stored(ctx, o, filepath.Join(dir, "stored"), &t, say); err != nil {
			return err
		}
	}
	if o.cold > 0 {
		if err := cold(ctx, o, filepath.Join(dir, "cold"), &t, say); err != nil {
			return err
		}
	}
	return t.err
}
