package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"wellkey/internal/testhost"
	"wellkey/internal/testleak"
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		// Nearly all of a demo's time is waiting: many run well side by side.
		_ = flag.Set("test.parallel", "32")
	}
	testleak.Main(m.Run)
}

var places atomic.Int32

// place returns the arguments for a domain that no other demo uses, since certmagic
// keeps challenges by name for the whole process, and a loopback address of its own.
func place() (domain string, args []string) {
	domain = fmt.Sprintf("d%d.example.com", places.Add(1))
	return domain, []string{"-domain", domain, "-host", testhost.New()}
}

// demo runs the program at a place of its own and returns what it leaves.
func demo(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	_, at := place()
	return demoAt(ctx, at, args...)
}

func demoAt(ctx context.Context, at []string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(ctx, slices.Concat(at, args), &out, &err)
	return code, out.String(), err.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"-help", 0, usage, ""},
		{"-fault keytaken", 2, "", "demo: there is no fault \"keytaken\"; did you mean key_taken?\n"},
		{"-fault xyzzy-and-more", 2, "", "demo: there is no fault \"xyzzy-and-more\"; see -list-faults\n"},
		{"-twice", 2, "", "demo: not defined: -twice; see -help\n"},
		{"-once now", 2, "", "demo: there is no argument \"now\"; see -help\n"},
		{"-domain Example.com", 2, "", "demo: -domain: \"Example.com\" has upper-case letters. Write example.com\n"},
		{"-host 10.1.2.3", 2, "", "demo: -host: \"10.1.2.3\" is no loopback address. Choose one that begins with 127\n"},
		{"-host ::1", 2, "", "demo: -host: \"::1\" is no loopback address. Choose one that begins with 127\n"},
		{"-once -data /dev/null/x", 1, "", "demo: mkdir /dev/null: not a directory\n"},
	} {
		code, stdout, stderr := demo(t.Context(), strings.Fields(c.args)...)
		if code != c.code || stdout != c.stdout || stderr != c.stderr {
			t.Errorf("%s: got %d, %q, %q; want %d, %q, %q", c.args, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
}

func TestListFaults(t *testing.T) {
	t.Parallel()
	code, stdout, _ := demo(t.Context(), "-list-faults")
	lines := strings.Split(stdout, "\n")
	for _, f := range allFaults(defaultDomain) {
		found := 0
		for _, line := range lines {
			if name, summary, _ := strings.Cut(strings.TrimSpace(line), " "); name == f.name && strings.TrimSpace(summary) == f.summary && f.summary != "" {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s: got %d lines, want 1", f.name, found)
		}
	}
	if code != 0 || !strings.Contains(stdout, "\n\nOther ways to fail:\n  hang ") {
		t.Errorf("got %d, %q", code, stdout)
	}
}
