package deploytest

import (
	"testing"

	"wellkey/internal/testworld"
)

// Start starts a world that lasts as long as the test.
func Start(t testing.TB, c testworld.Config) *testworld.World {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	w, err := testworld.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Errorf("closing the world: %v", err)
		}
	})
	return w
}

// Serve starts wellkey in w, until the end of the test, where it must end with 0.
// Its log is shown if the test fails.
func Serve(t testing.TB, w *testworld.World, settings ...string) *testworld.Run {
	t.Helper()
	run := w.Serve(settings...)
	t.Cleanup(func() {
		if code := run.Stop(); code != 0 {
			t.Errorf("exit status %d", code)
		}
		if t.Failed() {
			t.Logf("the log of %s:\n%s", w.Domain, run.Log)
		}
	})
	return run
}
