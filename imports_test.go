package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shippedWithout are what tests and the demo are made of, and the binary is not.
var shippedWithout = []string{
	"github.com/letsencrypt/pebble", "wellkey/internal/fleetsim", "wellkey/internal/testca", "wellkey/internal/testprometheus",
	"wellkey/internal/testdns", "wellkey/internal/testhost", "wellkey/internal/testleak", "wellkey/internal/testnet", "wellkey/internal/testnamespace", "wellkey/internal/testnetns", "wellkey/internal/testprogram", "wellkey/internal/testsites", "wellkey/internal/teststore", "wellkey/internal/testworld", "wellkey/deploy", "testing", "net/http/httptest", "net/http/pprof",
}

func TestShippedBinaryHoldsNoTestParts(t *testing.T) {
	deps := golist(t, "-deps", "-f", "{{.ImportPath}}", ".")
	if !slices.Contains(deps, "wellkey/server") {
		t.Fatalf("go list -deps says nothing of the server: %q", deps)
	}
	for _, dep := range deps {
		for _, part := range shippedWithout {
			if within(dep, part) {
				t.Errorf("the binary links %s", dep)
			}
		}
	}
}

// A rule says what else of this module the packages within a folder may import.
type rule struct {
	folder string
	may    []string
}

// small are the packages with one idea each, which everybody may import.
var small = []string{"wellkey/internal/contain", "wellkey/internal/customer", "wellkey/internal/durable", "wellkey/internal/finding", "wellkey/internal/logtag", "wellkey/internal/guideline", "wellkey/internal/loopback", "wellkey/internal/pattern", "wellkey/internal/pause", "wellkey/internal/phrase", "wellkey/internal/probetoken", "wellkey/internal/secret", "wellkey/internal/skew", "wellkey/internal/smallfile"}

// rules are the walls between the rooms: imports run one way, and leaves stay
// leaves. Of keystore, reach and the server share the word Key.
var rules = []rule{
	{folder: "wellkey/internal/ceiling"},
	{folder: "wellkey/internal/footprint"},
	{folder: "wellkey/internal/headroom"},
	{folder: "wellkey/internal/listen"},
	{folder: "wellkey/internal/systemd"},
	{folder: "wellkey/internal/sandbox"},
	{folder: "wellkey/internal/schedule"},
	{folder: "wellkey/internal/sites", may: []string{"wellkey/internal/config"}},
	{folder: "wellkey/internal/tty"},
	{folder: "wellkey/internal/webconfig"},
	{folder: "wellkey/internal/storage"}, // with the backends in it
	{folder: "wellkey/internal/teststore", may: []string{"wellkey/internal/testhost"}},
	{folder: "wellkey/keystore"},
	{folder: "wellkey/registrar/fleetapi"},
	{folder: "wellkey/server/certs/dns01"},
	{folder: "wellkey/registrar/reach", may: []string{"wellkey/keystore"}},
	{folder: "wellkey/registrar", may: []string{"wellkey/keystore", "wellkey/internal/schedule"}},
	{folder: "wellkey/server", may: []string{"wellkey/keystore", "wellkey/internal/listen", "wellkey/internal/schedule"}},
	{folder: "wellkey/internal/config", may: []string{"wellkey/internal/storage/scheme", "wellkey/internal/webconfig", "wellkey/keystore", "wellkey/registrar/fleetapi"}},
	{folder: "wellkey/internal/doctor", may: []string{"wellkey/keystore", "wellkey/registrar", "wellkey/internal/config"}},
	{folder: "wellkey/internal/admin", may: []string{"wellkey/internal/webconfig", "wellkey/keystore", "wellkey/registrar", "wellkey/server", "wellkey/internal/listen"}},
}

// Only these know everybody.
var (
	wires  = []string{"wellkey", "wellkey/internal/testworld", "wellkey/deploy"}              // may import cli
	shows  = []string{"wellkey/internal/cli", "wellkey/internal/testworld", "wellkey/deploy"} // may import admin
	fakes  = []string{"wellkey/internal/testworld", "wellkey/deploy"}                         // may import the fakes
	fakery = []string{"wellkey/internal/fleetsim", "wellkey/internal/testca", "wellkey/internal/testdns", "wellkey/internal/testnet", "wellkey/internal/testnamespace", "wellkey/internal/testnetns", "wellkey/internal/testsites", "wellkey/internal/teststore", "wellkey/internal/testworld"}
)

func TestImportsRunOneWay(t *testing.T) {
	packages := golist(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	for _, line := range packages {
		imports := strings.Fields(line)
		pkg, imports := imports[0], imports[1:]
		for _, imported := range imports {
			if !within(imported, "wellkey") {
				continue
			}
			if slices.Contains(small, pkg) {
				t.Errorf("%s imports %s, but is to hold one idea of its own", pkg, imported)
			}
			for _, r := range rules {
				if within(pkg, r.folder) && !within(imported, r.folder) && !anyWithin(imported, small) && !anyWithin(imported, r.may) {
					t.Errorf("%s imports %s", pkg, imported)
				}
			}
			for _, only := range []struct {
				what, who []string
			}{{[]string{"wellkey/internal/cli"}, wires}, {[]string{"wellkey/internal/admin"}, shows}, {fakery, fakes}} {
				if anyWithin(imported, only.what) && !anyWithin(pkg, append(only.who[1:], only.what...)) && pkg != only.who[0] {
					t.Errorf("%s imports %s, which only %q may", pkg, imported, only.who)
				}
			}
		}
	}
	for _, r := range rules { // a rule for what is not there guards nothing
		if !slices.ContainsFunc(packages, func(line string) bool { return within(strings.Fields(line)[0], r.folder) }) {
			t.Errorf("there is no package in %s", r.folder)
		}
	}
}

func golist(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// within reports whether a package lies in a folder.
func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

func anyWithin(pkg string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return within(pkg, folder) })
}

// TestPatternsAreCompiledLate: what a package compiles when the program starts, every
// start of every command pays for; see internal/pattern.
func TestPatternsAreCompiledLate(t *testing.T) {
	seen := 0
	for _, line := range golist(t, "-deps", "-f", `{{.ImportPath}} {{.Dir}} {{join .GoFiles " "}}`, ".") {
		fields := strings.Fields(line)
		if len(fields) < 3 || !within(fields[0], "wellkey") || fields[0] == "wellkey/internal/pattern" {
			continue
		}
		for _, name := range fields[2:] {
			text, err := os.ReadFile(filepath.Join(fields[1], name))
			if err != nil {
				t.Fatal(err)
			}
			seen++
			if strings.Contains(string(text), "regexp.MustCompile(") {
				t.Errorf("%s/%s compiles a pattern by itself: use pattern.New", fields[0], name)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d files were read", seen)
	}
}

// The layout in CONTRIBUTING.md names every room: a package, or a folder that it is in.
func TestLayoutIsWhole(t *testing.T) {
	text, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, layout, _ := strings.Cut(string(text), "\n## Layout\n")
	for _, pkg := range golist(t, "./...") {
		room := strings.TrimPrefix(strings.TrimPrefix(pkg, "wellkey"), "/")
		for room != "" && room != "deploy" && !strings.Contains(layout, "`"+room+"/`") {
			if room = filepath.ToSlash(filepath.Dir(room)); room == "." || room == "deploy" || room == "internal" {
				t.Errorf("%s is nowhere in CONTRIBUTING.md's layout", pkg)
				break
			}
		}
	}
}
