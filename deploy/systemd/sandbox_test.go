package systemd_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testprogram"
	"wellkey/internal/testworld"
)

// The program asks the kernel for nothing that the unit's sandbox refuses: a whole
// life under strace, from the first start with an order at the CA and two
// registrations to the stop, against systemd's own lists of system calls.
func TestSandbox(t *testing.T) {
	t.Parallel()
	service := readUnit(t, "wellkey.service")
	allowed := map[string]bool{}
	for _, filter := range service["Service.SystemCallFilter"] {
		names, deny := strings.CutPrefix(filter, "~")
		for _, name := range strings.Fields(names) {
			for _, call := range systemCalls(t, name) {
				allowed[call] = !deny
			}
		}
	}
	if len(allowed) < 200 || allowed["mount"] || !allowed["accept4"] {
		t.Fatalf("%d system calls are judged, mount %v, accept4 %v: the lists were not understood", len(allowed), allowed["mount"], allowed["accept4"])
	}
	families := strings.Fields(service.one(t, "Service.RestrictAddressFamilies"))

	trace := traced(t)
	call := regexp.MustCompile(`(?m)^\d+ +(\w+)\((.*)`)
	seen := map[string]bool{}
	for _, m := range call.FindAllStringSubmatch(trace, -1) {
		name, args := m[1], m[2]
		if !allowed[name] && !seen[name] {
			t.Errorf("%s is refused by SystemCallFilter: %s", name, args)
		}
		seen[name] = true
		if (name == "mmap" || name == "mprotect") && strings.Contains(args, "PROT_WRITE|PROT_EXEC") {
			t.Errorf("%s(%s is refused by MemoryDenyWriteExecute", name, args)
		}
		if family, _, _ := strings.Cut(args, ","); name == "socket" && !slices.Contains(families, family) {
			t.Errorf("socket(%s is refused by RestrictAddressFamilies", args)
		}
	}
	for _, name := range []string{"accept4", "socket", "fsync", "mmap"} {
		if !seen[name] {
			t.Errorf("the trace has no %s, so it is not one of a whole life", name)
		}
	}
}

// traced runs the program under strace until it is registered in every region,
// stops it, and returns the trace.
func traced(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	w := deploytest.Start(t, testworld.Config{Domain: "systemd.example.com", Dir: dir})
	if err := w.WriteCredentials(); err != nil {
		t.Fatal(err)
	}
	// The tracer stands aside (-D), so that a signal to the process is one to wellkey.
	file, wrapper := filepath.Join(dir, "trace"), filepath.Join(dir, "wellkey")
	script := fmt.Sprintf("#!/bin/sh\nexec strace -D -f -qq -o %s %s \"$@\"\n", file, testprogram.Path(t))
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := w.Exec(wrapper, []string{"PATH=" + os.Getenv("PATH")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Signal(syscall.SIGKILL) }() // it has ended, if all went well
	ctx, cancel := context.WithTimeout(t.Context(), deploytest.Patience)
	defer cancel()
	if _, err := p.Log.Await(ctx, func(e testworld.Entry) bool { return strings.HasPrefix(e.Message, "registered in every region") }); err != nil {
		t.Fatalf("waiting for the registration: %v\n%s", err, p.Log)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.Wait(); code != 0 {
		t.Errorf("exit status %d after SIGTERM, want 0", code)
	}
	return string(deploytest.ReadFile(t, file))
}

// systemCalls returns the system calls of a name in a SystemCallFilter: those of a
// group, which may hold groups, or the one itself.
func systemCalls(t *testing.T, name string) []string {
	t.Helper()
	if name[0] != '@' {
		return []string{name}
	}
	out, err := exec.Command("systemd-analyze", "syscall-filter", name).Output()
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter %s: %v", name, err)
	}
	var calls []string
	for _, item := range strings.Fields(regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(string(out), ""))[1:] {
		calls = append(calls, systemCalls(t, item)...)
	}
	return calls
}

// A crash, and the signal of the watchdog, are not mistaken for wrong settings, after
// which systemd would not start the program again.
func TestCrashIsNoExitStatus(t *testing.T) {
	t.Parallel()
	service := readUnit(t, "wellkey.service")
	// 0 keeps the core from files alone, and the program could not raise it to the 1 that
	// keeps it from handlers, too; see NoCoreDump of internal/sandbox.
	most := service.one(t, "Service.LimitCORE")
	if most != "1" {
		t.Errorf("a core of %s may be written or handed on, with secrets in it; want 1", most)
	}
	w := deploytest.Start(t, testworld.Config{Domain: "crash.example.com", Files: true})
	wrapper := filepath.Join(t.TempDir(), "wellkey")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexec prlimit --core="+most+" "+testprogram.Path(t)+" \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := w.Exec(wrapper, []string{service.one(t, "Service.Environment")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deploytest.Patience)
	defer cancel()
	if _, err := w.AwaitFetch(ctx); err != nil {
		t.Fatalf("the key is not served: %v\n%s", err, p.Log)
	}
	limits := string(deploytest.ReadFile(t, fmt.Sprintf("/proc/%d/limits", p.Pid())))
	if !regexp.MustCompile(`(?m)^Max core file size +1 +1 +bytes`).MatchString(limits) {
		t.Errorf("the limit of a core is not 1:\n%s", limits)
	}
	if err := p.Signal(syscall.SIGABRT); err != nil { // as the watchdog does
		t.Fatal(err)
	}
	if code := p.Wait(); code != -1 {
		t.Errorf("exit status %d, want the end by a signal", code)
	}
	if log := p.Log.String(); !strings.Contains(log, "SIGABRT") || !strings.Contains(log, "goroutine ") {
		t.Errorf("the log does not say where the program was: %s", log)
	}
}
