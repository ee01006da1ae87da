// Torture does to wellkey what hostile clients do, while one that behaves fetches
// the key all along: the real binary, in a network of its own, where nothing can
// leave and every address of some large networks is this machine's.
//
// Usage:
//
//	go run ./deploy/torture [flags]
//
//	-fast           a tenth of everything, and generous bounds on time and memory
//	-only WORDS     only the attacks with these in their names, and nothing at random
//	-binary FILE    the wellkey to attack; without, it is built
//	-report FILE    put the report between the markers in FILE, too; of everything alone
//
// It fails when the client that behaves gets no answer or a wrong one, or waits too
// long; when wellkey takes more than 96 MB, or with an application behind it more than
// a container of 128 MiB has, or contains a panic; when a random request adds a series
// to the metrics, or puts a control character into the log; when random names are not
// refused; and when an attack was none.
// It wants root, for the network, and slowhttptest (Debian package slowhttptest).
//
// Attackers and wellkey share the processors of this machine, which those on the
// internet do not. So the attackers are a process of the lowest priority (with -fast of a
// low one): what the client that behaves waits for is wellkey, and not its own turn among
// them.
//
// Exit status: 0 all well, 1 something is wrong, 2 wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"wellkey/deploy/document"
	"wellkey/deploy/trial"
)

func main() {
	trial.Main(func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
		switch {
		case os.Getenv(inNamespace) == "" && os.Getuid() == 0:
			return enterNamespace(ctx)
		case os.Getenv(orders) != "":
			return obey(ctx, os.Getenv(orders), stdout, stderr)
		}
		return run(ctx, args, stdout, stderr)
	})
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
	flags := trial.Flags("torture", stderr)
	flags.BoolVar(&o.fast, "fast", false, "a tenth of everything, and generous bounds on time and memory")
	flags.StringVar(&o.only, "only", "", "only the attacks with these words in their names, and nothing at random")
	trial.Binary(flags, &o.binary, "attack")
	document.Report(flags, &o.report)
	if err := trial.Parse(flags, args); err != nil {
		return o, err
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
	return trial.Run("torture", args, stderr, parse, func(o options) error {
		r := &report{fast: o.fast, of: trial.Revision(ctx, o.binary)}
		if err := torture(ctx, o, r, trial.Say(stderr)); err != nil {
			return err
		}
		if err := document.Tell(stdout, o.report, "torture", r.markdown()); err != nil {
			return err
		}
		return trial.Judge(r.wrong)
	})
}

// torture makes the network and the world, and attacks.
func torture(ctx context.Context, o options, r *report, say func(string, ...any)) error {
	if err := network(ctx); err != nil {
		return err
	}
	if _, err := exec.LookPath("slowhttptest"); err != nil {
		return fmt.Errorf("slow clients are made with slowhttptest (Debian package slowhttptest), which is missing: %w", err)
	}
	return trial.With(ctx, "torture", "", o.binary, func(dir, wellkey string) error {
		o.binary = wellkey
		if err := underFire(ctx, o, filepath.Join(dir, "fire"), r, say); err != nil {
			return err
		}
		if o.only != "" {
			return nil
		}
		return atRandom(ctx, o, filepath.Join(dir, "random"), r, say)
	})
}
