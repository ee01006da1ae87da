// Torture does to wellkey what hostile clients do, while one that behaves fetches
// the key all along: the real binary, in a network of its own, where nothing can
// leave and every address of some large networks is this machine's.
//
// Usage:
//
//	go run ./deploy/torture [flags]
//
//	-fast           a tenth of everything, and a generous bound on time
//	-only WORDS     only the attacks with these in their names, and nothing at random
//	-binary FILE    the wellkey to attack; without, it is built
//	-report FILE    put the report between the markers in FILE, too; of everything alone
//
// It fails when the client that behaves gets no answer or a wrong one, or waits too
// long; when wellkey takes more than 96 MB or contains a panic; when a random
// request adds a series to the metrics, or puts a control character into the log.
// It wants root, for the network, and slowhttptest (Debian package slowhttptest).
//
// Attackers and wellkey share the processors of this machine, which those on the
// internet do not. So the attackers are a process of the lowest priority: what the
// client that behaves waits for is wellkey, and not its own turn among them.
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
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"wellkey/deploy/document"
	"wellkey/internal/testprogram"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if os.Getenv(inNamespace) == "" && os.Getuid() == 0 {
		os.Exit(enterNamespace(ctx))
	}
	if os.Getenv(orders) != "" {
		os.Exit(obey(ctx, os.Getenv(orders), os.Stdout, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options is what the command line asks for.
type options struct {
	fast                 bool
	only, binary, report string
}

// few returns n, or a tenth of it where it is to be fast.
func (o options) few(n int) int {
	if o.fast {
		return max(1, n/10)
	}
	return n
}

// parse reads the command line. Its error is for whoever typed it.
func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("torture", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.fast, "fast", false, "a tenth of everything, and a generous bound on time")
	flags.StringVar(&o.only, "only", "", "only the attacks with these words in their names, and nothing at random")
	flags.StringVar(&o.binary, "binary", "", "the wellkey to attack; without, it is built")
	flags.StringVar(&o.report, "report", "", "put the report between the markers in this file, too")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, errors.New("wrong usage; see -help")
	}
	if o.report != "" && (o.fast || o.only != "") {
		return o, errors.New("-report is of all attacks at their full size, so neither -fast nor -only goes with it")
	}
	if len(o.chosen()) == 0 {
		return o, fmt.Errorf("no attack has %q in its name", o.only)
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
		fmt.Fprintf(stderr, "torture: %v\n", err)
		return 2
	}
	r := &report{fast: o.fast}
	if err := torture(ctx, o, r, stderr); err != nil {
		fmt.Fprintf(stderr, "torture: %v\n", err)
		return 1
	}
	text := r.markdown()
	fmt.Fprintln(stdout, text)
	if o.report != "" {
		if err := document.Put(o.report, "torture", text); err != nil {
			fmt.Fprintf(stderr, "torture: %v\n", err)
			return 1
		}
	}
	for _, wrong := range r.wrong {
		fmt.Fprintf(stderr, "torture: %s\n", wrong)
	}
	return min(1, len(r.wrong))
}

// torture makes the network and the world, and attacks.
func torture(ctx context.Context, o options, r *report, stderr io.Writer) (err error) {
	if err := network(ctx); err != nil {
		return err
	}
	if _, err := exec.LookPath("slowhttptest"); err != nil {
		return fmt.Errorf("slow clients are made with slowhttptest (Debian package slowhttptest), which is missing: %w", err)
	}
	dir, err := os.MkdirTemp("", "wellkey-torture-")
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
	if err := underFire(ctx, o, filepath.Join(dir, "fire"), r, say); err != nil {
		return err
	}
	if o.only != "" {
		return nil
	}
	return atRandom(ctx, o, filepath.Join(dir, "random"), r, say)
}
