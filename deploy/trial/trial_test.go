package trial_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/deploy/trial"
)

// asProgram, in the environment, has this process be a program that is told to end.
const asProgram = "WELLKEY_TEST_TRIAL"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		trial.Main(program, syscall.SIGUSR1)
	}
	goleak.VerifyTestMain(m)
}

// program ends with its first argument's length when it is told to; without one, it
// does not end.
func program(ctx context.Context, args []string, stdout, _ io.Writer) int {
	fmt.Fprintln(stdout, "runs")
	<-ctx.Done()
	fmt.Fprintln(stdout, "told")
	if len(args) == 0 {
		select {}
	}
	return len(args[0])
}

func TestSignals(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args   []string
		signal os.Signal
		want   string
	}{"it ends by itself": {[]string{"four"}, syscall.SIGUSR1, "exit status 4"}, "it goes on": {nil, syscall.SIGTERM, "signal: terminated"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), self, test.args...)
			cmd.Env = append(os.Environ(), asProgram+"=1")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for _, want := range []string{"runs", "told"} {
				if !lines.Scan() || lines.Text() != want {
					t.Fatalf("got %q, want %q", lines.Text(), want)
				}
				if want == "runs" {
					_ = cmd.Process.Signal(test.signal) // what does not come is not told
				}
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			again := time.NewTicker(10 * time.Millisecond)
			defer again.Stop()
			for {
				select {
				case err := <-ended:
					if err == nil || err.Error() != test.want {
						t.Errorf("got %v, want %s", err, test.want)
					}
					return
				case <-again.C:
					if test.args == nil {
						_ = cmd.Process.Signal(test.signal) // the end is awaited above
					}
				}
			}
		})
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	parse := func(args []string, stderr io.Writer) (n int, err error) {
		flags := trial.Flags("mill", stderr)
		flags.IntVar(&n, "n", 1, "a number")
		if err := trial.Parse(flags, args); err != nil {
			return n, err
		}
		if n < 0 {
			return n, errors.New("-n is below nothing")
		}
		return n, nil
	}
	const usage = "Usage of mill:\n  -n int\n    \ta number (default 1)\n"
	for _, test := range []struct {
		args   []string
		err    error // of what is done
		code   int
		stderr string
	}{
		{code: 0},
		{args: []string{"-help"}, code: 0, stderr: usage},
		{args: []string{"-m"}, code: 2, stderr: "flag provided but not defined: -m\n" + usage + "mill: flag provided but not defined: -m\n"},
		{args: []string{"more"}, code: 2, stderr: "mill: wrong usage; see -help\n"},
		{args: []string{"-n", "-1"}, code: 2, stderr: "mill: -n is below nothing\n"},
		{err: errors.New("broken\nin two"), code: 1, stderr: "mill: broken\nin two\n"},
		{err: trial.Judge(nil), code: 0},
		{err: trial.Judge([]string{"one", "two"}), code: 1, stderr: "mill: one\nmill: two\n"},
		{err: errors.Join(trial.Wrong(nil), io.EOF), code: 1}, // told already
	} {
		var stderr strings.Builder
		done := false
		code := trial.Run("mill", test.args, &stderr, parse, func(n int) error {
			done = n == 1
			return test.err
		})
		if code != test.code || stderr.String() != test.stderr || done != (test.args == nil) {
			t.Errorf("%q, %v: got %d and %q, want %d and %q; done: %t", test.args, test.err, code, &stderr, test.code, test.stderr, done)
		}
	}
	if got := trial.Wrong([]string{"one", "two"}).Error(); got != "wrong: one; two" {
		t.Errorf("got %q", got)
	}
}

// TestWith: what is tried is there while it is tried, and nothing is left of it. That a
// wellkey is built where none is given, the tests of deploy/scale show.
func TestWith(t *testing.T) {
	t.Parallel()
	parent, wrong := t.TempDir(), errors.New("wrong")
	err := trial.With(t.Context(), "mill", parent, "/bin/true", func(dir, wellkey string) error {
		if match, err := filepath.Match(filepath.Join(parent, "wellkey-mill-*"), dir); err != nil || !match || wellkey != "/bin/true" {
			t.Errorf("got %q and %q", dir, wellkey)
		}
		return errors.Join(wrong, os.WriteFile(filepath.Join(dir, "some"), nil, 0o600))
	})
	if !errors.Is(err, wrong) {
		t.Errorf("got %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := trial.With(ended, "mill", parent, "", nil); err == nil || !strings.HasPrefix(err.Error(), "building wellkey: ") {
		t.Errorf("of one that was not built: got %v", err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := trial.With(t.Context(), "mill", filepath.Join(parent, "none"), "/bin/true", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestSay(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	trial.Say(&out)("%d of %d", 1, 2)
	if got := out.String(); got != "1 of 2\n" {
		t.Errorf("got %q", got)
	}
}
