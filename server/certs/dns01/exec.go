package dns01

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Exec are the settings of a program of the operator's, which is called as
//
//	program present _acme-challenge.example.com. VALUE
//	program cleanup _acme-challenge.example.com. VALUE
//
// without a shell. Exit status 0 is success. What it prints is shown when it
// fails. Of our environment it gets PATH, HOME, LANG, TZ and TMPDIR alone, since
// ours may hold secrets that are none of its business.
type Exec struct {
	Program string        // path
	Timeout time.Duration // 0 = a minute
}

const (
	// maxOutput is how much of what the program prints is kept.
	maxOutput = 4096

	// killGrace is how long its own children may keep its output open, once it has
	// been ended.
	killGrace = time.Second
)

type program struct{ cfg Exec }

// NewExec returns the Provider of cfg. The program is looked at when it is
// needed.
func NewExec(cfg Exec) Provider {
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	return &program{cfg}
}

func (p *program) Add(ctx context.Context, r Record) error    { return p.run(ctx, "present", r) }
func (p *program) Remove(ctx context.Context, r Record) error { return p.run(ctx, "cleanup", r) }

func (p *program) run(ctx context.Context, verb string, r Record) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	var output kept
	cmd := exec.CommandContext(ctx, p.cfg.Program, verb, dns.Fqdn(r.Name), r.Value) // #nosec G204 -- the program is the one in the settings, and no shell is between
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.WaitDelay = killGrace
	alone(cmd)
	err := cmd.Run()
	if err == nil {
		return nil
	}
	said := "it printed nothing"
	if text := strings.TrimSpace(output.String()); text != "" {
		said = "it printed " + quote(text)
	}
	var exited *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail(KindProvider, "the program %q did not end within its time after %s, so it was killed: %s", p.cfg.Program, verb, said)
	case errors.Is(err, fs.ErrNotExist):
		return fail(KindProvider, "the program %q of dns_exec_program cannot be started: it, or the interpreter in its first line, does not exist, here or in the container", p.cfg.Program)
	case errors.Is(err, fs.ErrPermission):
		return fail(KindProvider, "the program %q of dns_exec_program cannot be started: make it executable for the user that wellkey runs as (chmod 755)", p.cfg.Program)
	case errors.As(err, &exited):
		return fail(KindProvider, "the program %q failed after %s (%v): %s", p.cfg.Program, verb, exited, said)
	}
	return wrap(KindProvider, err, "the program %q of dns_exec_program cannot be run", p.cfg.Program)
}

// environment returns what the program may know of ours.
func environment() []string {
	var all []string
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			all = append(all, fmt.Sprintf("%s=%s", name, value))
		}
	}
	return all
}

// kept keeps the beginning of what is written, and takes the rest.
type kept struct{ bytes.Buffer }

func (k *kept) Write(p []byte) (int, error) {
	_, _ = k.Buffer.Write(p[:min(len(p), max(maxOutput-k.Len(), 0))]) // never fails
	return len(p), nil
}
