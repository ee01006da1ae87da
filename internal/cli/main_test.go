package cli_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"wellkey/internal/cli"
	"wellkey/internal/testleak"
)

// actAsWellkey, set in the environment, makes the test binary a wellkey: for the
// tests that need a process of its own, to kill it or to send it signals.
const actAsWellkey = "TEST_BINARY_IS_WELLKEY"

// coverage is the variable that says where a test binary leaves what it has reached,
// where that is counted; without one it would say so on stderr.
func coverage() string { return "GOCOVERDIR=" + os.Getenv("GOCOVERDIR") }

func TestMain(m *testing.M) {
	if os.Getenv(actAsWellkey) != "" {
		os.Exit(cli.Run(context.Background(), cli.Process{
			Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		}))
	}
	flag.Parse()
	if !given("test.parallel") {
		// Most of a test's time is waiting for a socket or a deadline, so many
		// more than there are processors can run side by side.
		_ = flag.Set("test.parallel", "16")
	}
	testleak.Main(m.Run)
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
