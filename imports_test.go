package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// shippedWithout are what tests and the demo are made of, and the binary is not.
var shippedWithout = []string{
	"github.com/letsencrypt/pebble", "wellkey/internal/fleetsim", "wellkey/internal/testca",
	"wellkey/internal/testdns", "wellkey/internal/testnet", "wellkey/internal/testworld", "wellkey/deploy", "testing", "net/http/httptest", "net/http/pprof",
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

// A rule says what the packages within a folder may import of this module, or
// what they may not.
type rule struct {
	folder string
	may    []string // nil: anything but what mayNot lists
	mayNot []string
}

// small are the packages with one idea each, which leaves may import.
var small = []string{"wellkey/internal/finding", "wellkey/internal/secret", "wellkey/internal/durable", "wellkey/internal/phrase", "wellkey/internal/probetoken"}

// rules are the walls between the rooms: imports run one way, and leaves stay
// leaves. "keystore.Key" is the word that reach and the server share.
var rules = []rule{
	{folder: "wellkey/keystore", may: small},
	{folder: "wellkey/internal/storage", may: small},
	{folder: "wellkey/registrar/fleetapi", may: small},
	{folder: "wellkey/registrar/reach", may: append(slices.Clone(small), "wellkey/keystore")},
	{folder: "wellkey/internal/finding", may: []string{}},
	{folder: "wellkey/internal/secret", may: []string{}},
	{folder: "wellkey/internal/durable", may: []string{}},
	{folder: "wellkey/internal/phrase", may: []string{}},
	{folder: "wellkey/internal/probetoken", may: []string{}},
	{folder: "wellkey/server", mayNot: []string{"wellkey/registrar", "wellkey/internal/cli", "wellkey/internal/config", "wellkey/internal/admin"}},
	{folder: "wellkey/registrar", mayNot: []string{"wellkey/server", "wellkey/internal/cli", "wellkey/internal/config", "wellkey/internal/admin", "wellkey/internal/storage"}},
	{folder: "wellkey/internal/config", mayNot: []string{"wellkey/server", "wellkey/internal/cli", "wellkey/internal/admin"}},
	{folder: "wellkey/internal/admin", mayNot: []string{"wellkey/internal/cli", "wellkey/internal/config"}},
}

// Only these know everybody.
var (
	wires  = []string{"wellkey", "wellkey/internal/testworld", "wellkey/deploy"}              // may import cli
	shows  = []string{"wellkey/internal/cli", "wellkey/internal/testworld", "wellkey/deploy"} // may import admin
	fakes  = []string{"wellkey/internal/testworld", "wellkey/deploy"}                         // may import the fakes
	fakery = []string{"wellkey/internal/fleetsim", "wellkey/internal/testca", "wellkey/internal/testdns", "wellkey/internal/testnet", "wellkey/internal/testworld"}
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
			for _, r := range rules {
				if within(pkg, r.folder) && !within(imported, r.folder) &&
					(r.may != nil && !anyWithin(imported, r.may) || anyWithin(imported, r.mayNot)) {
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
