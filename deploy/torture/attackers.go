package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// orders, in the environment, has this program be the attackers.
const orders = "WELLKEY_TORTURE_ATTACK"

// An order says what they are to do.
type order struct {
	Only   string
	Attack int // of the chosen ones
	Aim    aim
}

// Attackers have the lowest priority, but where the machine may be busy with other things,
// which would leave them nothing to attack with.
const lowest, fastPriority = "19", "5"

// launch has attackers do one of the chosen attacks, in a process of a low priority. It
// returns what became of it.
func launch(ctx context.Context, o options, attack int, at *aim) (saw string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(order{o.only, attack, *at})
	if err != nil {
		return "", err
	}
	priority := lowest
	if o.fast {
		priority = fastPriority
	}
	cmd := exec.CommandContext(ctx, "nice", "-n", priority, self)
	cmd.Env = append(os.Environ(), orders+"="+string(text))
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.Output()
	return string(out), err
}

// obey does what an order says, and returns the exit code.
func obey(ctx context.Context, text string, stdout, stderr io.Writer) int {
	var what order
	err := json.Unmarshal([]byte(text), &what)
	if chosen := (options{fast: what.Aim.Fast, only: what.Only}).chosen(); err == nil && what.Attack < len(chosen) {
		var saw string
		if saw, err = chosen[what.Attack].do(ctx, &what.Aim); err == nil {
			fmt.Fprint(stdout, saw)
			return 0
		}
	}
	fmt.Fprintf(stderr, "torture: attackers: %v\n", err)
	return 1
}
