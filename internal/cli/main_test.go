package cli_test

import (
	"context"
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/cli"
)

// actAsWellkey, set in the environment, makes the test binary a wellkey: for the
// tests that need a process of its own, to kill it or to send it signals.
const actAsWellkey = "TEST_BINARY_IS_WELLKEY"

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
	goleak.VerifyTestMain(m,
		// What certmagic and Pebble leave running, in this order: up to 5 s
		// after a lock is released; one a CA and account, for ever; one a CA.
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"),
		goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"),
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"))
}

func given(name string) bool {
	found := false
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
