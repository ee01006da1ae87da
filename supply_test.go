package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// assembled are the packages that bring assembler, each known and with its reason:
// what everybody links (sys, xxhash for metrics), and what certmagic does (cpuid and
// blake3).
var assembled = []string{
	"golang.org/x/sys/", "github.com/cespare/xxhash/v2", "github.com/klauspost/cpuid/v2", "github.com/zeebo/blake3/",
}

// A pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	CgoFiles, CFiles, CXXFiles, MFiles, HFiles, FFiles,
	SFiles, SwigFiles, SwigCXXFiles, SysoFiles []string
	Error *struct{ Err string }
}

// foreign returns the files that are not Go: C in all its forms, and what somebody else
// has compiled.
func (p pkg) foreign() []string {
	return slices.Concat(p.CgoFiles, p.CFiles, p.CXXFiles, p.MFiles, p.FFiles, p.SwigFiles, p.SwigCXXFiles, p.SysoFiles)
}

// listPackages returns what go list says, in a folder and with an environment of its
// own, of packages and all that they import.
func listPackages(t *testing.T, dir string, environ []string, args ...string) (all []pkg) {
	t.Helper()
	list := exec.Command("go", append([]string{"list", "-e", "-deps", "-json=ImportPath,Standard,CgoFiles,CFiles,CXXFiles,MFiles,HFiles,FFiles,SFiles,SwigFiles,SwigCXXFiles,SysoFiles,Error"}, args...)...)
	list.Dir, list.Env = dir, append(os.Environ(), environ...)
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list %q in %q with %q: %v", args, dir, environ, err)
	}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Error != nil {
			t.Errorf("%s: %s: %s", dir, p.ImportPath, p.Error.Err)
		}
		all = append(all, p)
	}
}

// Of the shipped program nothing is C, nothing is an object file that somebody else
// compiled, and assembler comes from few. What is built as the release builds it is
// asked, for every machine that it is released for.
func TestShippedBinaryIsGo(t *testing.T) {
	t.Parallel()
	for _, arch := range []string{"amd64", "arm64", "arm"} {
		seen := map[string]bool{}
		for _, p := range listPackages(t, ".", []string{"CGO_ENABLED=0", "GOOS=linux", "GOARM=7", "GOARCH=" + arch}, ".") {
			seen[p.ImportPath] = true
			if p.Standard {
				continue
			}
			if foreign := p.foreign(); len(foreign) > 0 {
				t.Errorf("%s: %s brings %q", arch, p.ImportPath, foreign)
			}
			if len(p.SFiles) > 0 && !slices.ContainsFunc(assembled, func(known string) bool {
				return strings.HasPrefix(p.ImportPath+"/", strings.TrimSuffix(known, "/")+"/")
			}) {
				t.Errorf("%s: %s brings assembler (%q), and is not among those that are known to", arch, p.ImportPath, p.SFiles)
			}
		}
		if !seen["wellkey/server"] || seen["runtime/cgo"] {
			t.Errorf("%s: go list has the server: %v, runtime/cgo: %v", arch, seen["wellkey/server"], seen["runtime/cgo"])
		}
	}
}

// TestEveryModuleIsRead: vet and staticcheck look at each module, also at those that
// are not shipped.
func TestEveryModuleIsRead(t *testing.T) {
	run, err := os.ReadFile(".ci/run")
	if err != nil {
		t.Fatal(err)
	}
	listed := regexp.MustCompile(`(?m)^export modules='(.*)'$`).FindSubmatch(run)
	if listed == nil {
		t.Fatal(".ci/run has no list of modules")
	}
	var found []string
	if err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == "go.mod" {
			found = append(found, filepath.ToSlash(filepath.Dir(path)))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	read := strings.Fields(string(listed[1]))
	slices.Sort(read)
	slices.Sort(found)
	if !slices.Equal(read, found) {
		t.Errorf(".ci/run reads %q, and there are %q", read, found)
	}
	if n := strings.Count(string(run), "for module in $modules;"); n != 3 {
		t.Errorf("%d stages of .ci/run read every module, want tidy, vet and staticcheck", n)
	}
}

// Nothing that is built in this tree runs somebody else's code while it is built, or
// fetches anything but modules that go.sum knows. go build runs no code of a package but
// through cgo (a C compiler, pkg-config), so no package may have any: also none that
// CGO_ENABLED=0 would leave out, none that only tests need, and none of the tools and the
// programs with modules of their own. What go generate would run stands nowhere, no
// go.mod sends for another toolchain, and none takes a module from elsewhere.
func TestBuildsRunNothingOfOthers(t *testing.T) {
	t.Parallel()
	modules, sources := 0, 0
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && entry.Name() == ".git" {
			return cmp.Or(err, fs.SkipDir)
		}
		switch name := entry.Name(); {
		case name == "go.mod" || name == "tools.mod":
			modules++
			lookAtModule(t, file)
		case strings.HasSuffix(name, ".go"):
			sources++
			text, err := os.ReadFile(file)
			if found := regexp.MustCompile(`(?m)^//go:(generate|cgo_).*|^import "C"`).FindString(string(text)); found != "" {
				t.Errorf("%s says %q", file, found)
			}
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if modules < 5 || sources < 500 {
		t.Errorf("there are %d modules and %d files of Go, so the tree was not understood", modules, sources)
	}
}

// lookAtModule wants nothing that is not Go in what a module, or the tools, are made of.
func lookAtModule(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if found := regexp.MustCompile(`(?m)^(toolchain|replace|exclude)\b.*`).FindString(string(text)); found != "" {
		t.Errorf("%s says %q", file, found)
	}
	if _, err := os.Stat(strings.TrimSuffix(file, ".mod") + ".sum"); err != nil {
		t.Errorf("%s has no sums: %v", file, err)
	}
	what := []string{"-test", "./..."}
	if name := filepath.Base(file); name != "go.mod" {
		what = []string{"-modfile=" + name, "tool"}
	}
	all := listPackages(t, filepath.Dir(file), []string{"CGO_ENABLED=1", "GOTOOLCHAIN=local"}, what...)
	if len(all) < 50 {
		t.Errorf("%s has %d packages, so it was not understood", file, len(all))
	}
	for _, p := range all {
		if foreign := p.foreign(); !p.Standard && len(foreign) > 0 {
			t.Errorf("%s: %s brings %q", file, p.ImportPath, foreign)
		}
	}
}

// Every module that go.mod asks for directly has its reason in docs/decisions.md, and
// none is replaced by something else.
func TestEveryDependencyHasItsReason(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []any
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 {
		t.Errorf("go.mod replaces modules: %v", mod.Replace)
	}
	text, err := os.ReadFile("docs/decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "\n## Dependencies\n")
	if !found {
		t.Fatal("docs/decisions.md has no section of dependencies")
	}
	direct := 0
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		direct++
		// As it is written there: without the host, or without the owner where one
		// sentence names several of one.
		path := regexp.MustCompile(`/v\d+$`).ReplaceAllString(r.Path, "")
		spellings := []string{r.Path, path, strings.TrimPrefix(path, "github.com/")}
		switch path {
		case "github.com/prometheus/client_model":
			spellings = append(spellings, "client_model")
		case "go.uber.org/zap/exp":
			spellings = append(spellings, "zap/exp")
		}
		if !slices.ContainsFunc(spellings, func(s string) bool { return strings.Contains(table, "`"+s+"`") }) {
			t.Errorf("docs/decisions.md has no reason for %s", r.Path)
		}
	}
	if direct < 20 {
		t.Errorf("go.mod has %d direct dependencies, so it was not understood", direct)
	}
}
