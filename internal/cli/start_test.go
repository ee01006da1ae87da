package cli

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestStartMakesOneCommand: the flags of all commands cost a start a tenth, so only
// those who look at all of them have them made.
func TestStartMakesOneCommand(t *testing.T) {
	t.Parallel()
	for _, c := range commands {
		got := commandsFor(Process{Args: []string{c.name, "--help"}})
		if len(got) == 0 || got[0].Name() != c.name && c.name != "completion" {
			t.Errorf("%s: %d commands", c.name, len(got))
		} else if c.name != "completion" && len(got) != 1 {
			t.Errorf("%s: %d commands are made, want one", c.name, len(got))
		}
	}
	for _, args := range [][]string{nil, {"help"}, {"help", "serve"}, {"--help"}, {"sevre"}, {"completion", "bash"}, {"__complete", "serve", "--d"}} {
		if got := commandsFor(Process{Args: args}); len(got) != len(commands) {
			t.Errorf("%q: %d commands are made, want all", args, len(got))
		}
	}
}

// TestStartExplainsNothing: the help of all settings is written for who asks.
func TestStartExplainsNothing(t *testing.T) {
	t.Parallel()
	if cmd := serveCommand(Process{}); len(cmd.Long) > 1000 {
		t.Errorf("serve begins with a description of %d bytes", len(cmd.Long))
	}
}

// TestVisitorsFirst: who waited for the start is served before anything else begins;
// a process that stops sooner leaves everything in order.
func TestVisitorsFirst(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := afterVisitors(func(context.Context) error { return broken })(t.Context())
		if !errors.Is(err, broken) || time.Since(began) != headStart {
			t.Errorf("it ran after %v and returned %v", time.Since(began), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		err := afterVisitors(func(ctx context.Context) error { return ctx.Err() })(ctx)
		if !errors.Is(err, context.Canceled) || time.Since(began) != 0 {
			t.Errorf("it ran after %v and returned %v", time.Since(began), err)
		}
	})
}
