package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestProfile: the program gives a profile of each load, and they are left in one
// that the compiler takes.
func TestProfile(t *testing.T) {
	into := filepath.Join(t.TempDir(), "default.pgo")
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"-profile", "-short", "-scenarios", "x25519,h1,idle", "-pgo", into}, &stdout, &stderr); code != 0 {
		t.Fatalf("got %d\n%s%s", code, &stdout, &stderr)
	}
	for _, want := range []string{"full handshake + GET, X25519: ", "keep-alive, HTTP/1.1: ", "key exchange", "syscall.write", "short form"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("there is no %q in\n%s", want, &stdout)
		}
	}
	if strings.Contains(stdout.String(), "memory at rest") {
		t.Errorf("profiled what is no load:\n%s", &stdout)
	}
	traces, err := tracesIn(t.Context(), into)
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []string{"crypto/tls", "net/http", "wellkey/server"} {
		if !slices.ContainsFunc(traces, func(t trace) bool {
			return slices.ContainsFunc(t.stack, func(f string) bool { return packageOf(f) == pkg })
		}) {
			t.Errorf("the profile for the compiler knows nothing of %s", pkg)
		}
	}
}

func TestProfileUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-pgo", "file"}, {"-profile", "-binary", "/bin/true"}, {"-profile", "-scenarios", "idle,start"}} {
		if _, err := parse(args, t.Output()); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestTraces(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/traces")
	if err != nil {
		t.Fatal(err)
	}
	traces, err := tracesOf(text)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, one := range traces {
		class, function := one.class()
		got = append(got, strings.Repeat("I", one.samples)+" "+class+": "+function)
	}
	want := []string{
		"II system calls: syscall.write",
		"I key exchange: crypto/internal/fips140/edwards25519/field.feMul",
		"III ECDSA signature: crypto/internal/fips140/sha512.blockAVX2",
		"I ciphers, hashes, key schedule: crypto/internal/fips140/sha256.blockSHANI",
		"I `crypto/tls` itself: crypto/tls.(*Conn).handshakeContext",
		"I allocation, garbage collector: runtime.nextFreeFast",
		"I allocation, garbage collector: runtime.scanObject",
		"I goroutines: scheduling, stacks: internal/runtime/syscall/linux.Syscall6",
		"I goroutines: scheduling, stacks: runtime.adjustframe",
		"I `net/http`, `net`: net/http.Header.get",
		"I wellkey's own code: wellkey/server.(*page).answer",
		"I other libraries: github.com/caddyserver/certmagic.(*Config).GetCertificate",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, bad := range []string{"", "File: x\n", "-----------+---\n no number\n", "-----------+---\n 5 kB runtime.x\n-----------+---\n more\n"} {
		if traces, err := tracesOf([]byte(bad)); err == nil {
			t.Errorf("%q: got %v", bad, traces)
		}
	}
}

func TestPackageOf(t *testing.T) {
	t.Parallel()
	for function, want := range map[string]string{
		"runtime.mallocgc": "runtime", "net/http.(*conn).serve": "net/http", "wellkey/server.routes.choose": "wellkey/server",
		"github.com/caddyserver/certmagic.(*Config).GetCertificate":    "github.com/caddyserver/certmagic",
		"type:.hash.vendor/golang.org/x/net/http2/hpack.pairNameValue": "golang.org/x/net/http2/hpack",
	} {
		if got := packageOf(function); got != want {
			t.Errorf("%s: got %q, want %q", function, got, want)
		}
	}
}

func TestCosts(t *testing.T) {
	t.Parallel()
	var none *costs
	if got := none.text(); got != "Not profiled yet." {
		t.Errorf("of nothing: %q", got)
	}
	c := &costs{Taken: "2026-11-25", Of: map[string]*cost{
		"x25519": costOf([]trace{{3, []string{"crypto/ecdh.x"}}, {1, []string{"wellkey/server.f"}}}, 200),
		"h1":     costOf([]trace{{4, []string{"syscall.write"}}}, 10),
	}}
	got := c.text()
	for _, want := range []string{
		"Taken on 2026-11-25.", "| what it goes into | full handshake + GET, X25519 | keep-alive, HTTP/1.1 |\n|---|---|---|\n",
		"| key exchange | 75.0 (150) | 0.0 (0.00) |", "| system calls | 0.0 (0.00) | 100.0 (10.0) |", "| wellkey's own code | 25.0 (50.0) | 0.0 (0.00) |", "| all | 100 (200) | 100 (10.0) |", "| 4; ±24.7 | 4; ±24.7 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}
