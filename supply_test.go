package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
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

// Of the shipped program nothing is C, nothing is an object file that somebody else
// compiled, and assembler comes from few. What is built as the release builds it is
// asked, for every machine that it is released for.
func TestShippedBinaryIsGo(t *testing.T) {
	t.Parallel()
	type pkg struct {
		ImportPath string
		Standard   bool
		CgoFiles, CFiles, CXXFiles, MFiles, HFiles, FFiles,
		SFiles, SwigFiles, SwigCXXFiles, SysoFiles []string
	}
	for _, arch := range []string{"amd64", "arm64", "arm"} {
		list := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,CgoFiles,CFiles,CXXFiles,MFiles,HFiles,FFiles,SFiles,SwigFiles,SwigCXXFiles,SysoFiles", ".")
		list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARM=7", "GOARCH="+arch)
		out, err := list.Output()
		if err != nil {
			t.Fatalf("go list for %s: %v", arch, err)
		}
		seen := map[string]bool{}
		for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
			var p pkg
			if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			seen[p.ImportPath] = true
			if p.Standard {
				continue
			}
			if foreign := slices.Concat(p.CgoFiles, p.CFiles, p.CXXFiles, p.MFiles, p.FFiles, p.SwigFiles, p.SwigCXXFiles, p.SysoFiles); len(foreign) > 0 {
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
