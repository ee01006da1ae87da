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
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"wellkey/internal/testprogram"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

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
	flags := flag.NewFlagSet("scale", flag.ContinueOnError)
	flags.SetOutput(stderr)
	list := flags.String("sites", "1,10,100,1000,10000,100000", "numbers of sites, upwards")
	seconds := flags.Int("seconds", 12, "how long handshakes are made against each number of sites")
	flags.IntVar(&o.cold, "cold", 200, "sites that begin with nothing; 0 leaves that out")
	flags.DurationVar(&o.patience, "patience", 5*time.Minute, "how long to wait for any one thing")
	flags.StringVar(&o.binary, "binary", "", "the wellkey to measure; without, it is built")
	flags.StringVar(&o.dir, "dir", "", "where to keep what is needed for it")
	if err := flags.Parse(args); err != nil {
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
	if flags.NArg() > 0 || o.cold < 0 || *seconds < 1 {
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
		fmt.Fprintf(stderr, "scale: %v\n", err)
		return 2
	}
	if err := measure(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "scale: %v\n", err)
		return 1
	}
	return 0
}

// measure makes all measurements and prints each table when it is whole.
func measure(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "wellkey-scale-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.binary == "" {
		o.binary = filepath.Join(dir, "wellkey")
		if err := testprogram.Build(ctx, o.binary); err != nil {
			return err
		}
	}
	say := func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
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
