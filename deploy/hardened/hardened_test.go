// Package hardened_test tries the program as it is shipped as those would who mean
// it no good: with the scanners that they use, and for what it could still do if
// somebody got hold of it.
package hardened_test

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testleak"
	"wellkey/internal/testprogram"
	"wellkey/internal/testworld"
)

func TestMain(m *testing.M) { testleak.Main(func() int { return testprogram.Main(m) }) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// launch starts the program in w, under umask 0, until the end of the test.
func launch(t *testing.T, w *testworld.World, settings ...string) *testworld.Process {
	t.Helper()
	p, err := w.Exec("testdata/careless", []string{"PATH=" + os.Getenv("PATH"), "PROGRAM=" + testprogram.Path(t)}, settings...)
	must(t, err)
	t.Cleanup(func() {
		_ = p.Signal(syscall.SIGTERM) // it may have ended
		p.Wait()
		if t.Failed() {
			t.Logf("the log of %s:\n%s", w.Domain, p.Log)
		}
	})
	return p
}

// start is launch, and returns once the key is served.
func start(t *testing.T, w *testworld.World, settings ...string) *testworld.Process {
	t.Helper()
	p := launch(t, w, settings...)
	ctx, cancel := context.WithTimeout(t.Context(), deploytest.Patience)
	defer cancel()
	if _, err := w.AwaitFetch(ctx); err != nil {
		t.Fatalf("the key is not served: %v\n%s", err, p.Log)
	}
	return p
}

// awaitLog waits for a line that begins with message.
func awaitLog(t *testing.T, p *testworld.Process, message string) testworld.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deploytest.Patience)
	defer cancel()
	e, err := p.Log.Await(ctx, func(e testworld.Entry) bool { return strings.HasPrefix(e.Message, message) })
	if err != nil {
		t.Fatalf("waiting for %q: %v\n%s", message, err, p.Log)
	}
	return e
}
