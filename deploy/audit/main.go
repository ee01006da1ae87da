// Audit reads the code of every module below a directory with the rules of gosec,
// and lists what it finds; any finding is a failure. What is right as it is says so
// beside the line: "#nosec G115 -- why". One without a rule, without a reason, or
// with nothing to excuse is a finding, too. Tests are not read: what they do to the
// program is their purpose. This is a module of its own, since neither gosec nor
// gitleaks, the tool that looks for secrets, is a part of wellkey.
//
// gosec's own program would bring three clients of language models, which take
// longer to build than all else; its rules are a library, which brings none.
//
// Usage: audit [DIRECTORY]
package main

import (
	"fmt"
	"io"
	"io/fs"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"

	"github.com/securego/gosec/v2"
	"github.com/securego/gosec/v2/analyzers"
	"github.com/securego/gosec/v2/issue"
	"github.com/securego/gosec/v2/rules"
)

// everywhere are the rules that nothing is held to, each with its reason.
var everywhere = map[string]string{
	"G304": "files are named by settings and by internal/storage, which checks names; what a request could name, G703 follows",
}

// workshop are the rules that what is not shipped is not held to: what it is given,
// its developer types, and it speaks with itself on loopback.
var workshop = map[string]string{
	"G101": "credentials of a Tesla that is played are no secrets",
	"G112": "servers of tests and measurements have clients of ours only",
	"G115": "numbers are those of loads, chosen beside the line",
	"G204": "programs are started that tests and measurements name",
	"G301": "what another user's server shows, all may read",
	"G306": "as G301; roots of test authorities and files of a release, too",
	"G402": "what is measured has certificates of a test authority",
	"G404": "loads and delays are to be repeated, not to be unguessable",
	"G702": "as G204",
	"G703": "files are those that the developer names",
	"G704": "requests go to what was started before",
}

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	found, err := audit(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, line := range found {
		fmt.Println(line)
	}
	if len(found) > 0 {
		fmt.Printf("%d findings: change the code, or say beside it why it is right: #nosec G000 -- why\n", len(found))
		os.Exit(1)
	}
}

// audit returns what gosec finds below root, a line each, with paths from there.
func audit(root string) ([]string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	shipped, err := shippedFrom(root)
	if err != nil {
		return nil, err
	}
	all, err := load(root)
	if err != nil {
		return nil, err
	}
	issues, faults, err := ask(all)
	if err != nil {
		return nil, err
	}

	var found []string
	tell := func(path string, line int, text string) {
		if name, err := filepath.Rel(root, path); err == nil {
			path = name
		}
		found = append(found, fmt.Sprintf("%s:%d: %s", path, line, text))
	}
	for path, some := range faults {
		for _, fault := range some {
			tell(path, fault.Line, fault.Err)
		}
	}
	used := map[place]bool{}
	for _, i := range issues {
		if len(i.Suppressions) > 0 {
			for _, p := range reached(i) {
				used[p] = true
			}
			continue
		}
		_, ours := workshop[i.RuleID]
		if _, nobody := everywhere[i.RuleID]; nobody || ours && !shipped[filepath.Dir(i.File)] {
			continue
		}
		first, _, _ := strings.Cut(i.Line, "-")
		line, _ := strconv.Atoi(first) // gosec's own number
		tell(i.File, line, i.RuleID+" "+i.What)
	}
	idle, err := idle(all, used)
	if err != nil {
		return nil, err
	}
	for _, p := range idle {
		tell(p.path, p.line, "#nosec "+p.rule+" excuses nothing")
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// load reads the packages of every module below root, with their types.
func load(root string) ([]*packages.Package, error) {
	var all []*packages.Package
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if entry.Name() != "go.mod" {
			return nil
		}
		module, err := packages.Load(&packages.Config{Mode: gosec.LoadMode, Dir: filepath.Dir(path)}, "./...")
		all = append(all, module...)
		return err
	})
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("there is no module in %s", root)
	}
	return all, err
}

// ask has gosec judge packages. What they do not compile for is a fault, by file.
func ask(all []*packages.Package) ([]*issue.Issue, map[string][]gosec.Error, error) {
	config := gosec.NewConfig()
	config.SetGlobal(gosec.NoSecRequireRules, "true")
	config.SetGlobal(gosec.NoSecRequireJustification, "true")
	var issues []*issue.Issue
	faults := map[string][]gosec.Error{}
	for _, p := range all {
		wrong, err := gosec.ParseErrors(p)
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(faults, wrong)
		// One for each package: what is excused in one file is otherwise looked for in all.
		// Findings that are excused are kept, so that an excuse for nothing can be told.
		a := gosec.NewAnalyzer(config, false, true, true, 1, log.New(io.Discard, "", 0))
		a.LoadRules(rules.Generate(false).RulesInfo())
		a.LoadAnalyzers(analyzers.Generate(false).AnalyzersInfo())
		a.CheckRules(p)
		a.CheckAnalyzers(p)
		found, _, more := a.Report()
		issues = append(issues, found...)
		for path, some := range more {
			faults[path] = append(faults[path], some...)
		}
	}
	return issues, faults, nil
}

// shippedFrom returns the folders of the packages that the program at root is made of.
func shippedFrom(root string) (map[string]bool, error) {
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}{{end}}", ".")
	list.Dir, list.Stderr = root, os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("asking what is shipped from %s: %w", root, err)
	}
	shipped := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		shipped[strings.TrimSpace(line)] = true
	}
	return shipped, nil
}

// A place is a line where a rule is excused.
type place struct {
	path string
	line int
	rule string
}

// reached returns the places from which a finding can be excused: its lines and the
// one above.
func reached(i *issue.Issue) []place {
	first, last, many := strings.Cut(i.Line, "-")
	if !many {
		last = first
	}
	from, _ := strconv.Atoi(first)
	to, _ := strconv.Atoi(last)
	var places []place
	for line := from - 1; line <= to; line++ {
		places = append(places, place{i.File, line, i.RuleID})
	}
	return places
}

var excuse = regexp.MustCompile(`// ?#nosec ((?:G\d{3} )+)-- `)

// idle returns the excuses in the files of packages that nothing used.
func idle(all []*packages.Package, used map[place]bool) ([]place, error) {
	var idle []place
	for _, p := range all {
		for _, path := range p.GoFiles {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			number := 0
			for line := range strings.Lines(string(text)) {
				number++
				match := excuse.FindStringSubmatch(line)
				if match == nil {
					continue
				}
				for _, rule := range strings.Fields(match[1]) {
					if p := (place{path, number, rule}); !used[p] {
						idle = append(idle, p)
					}
				}
			}
		}
	}
	return idle, nil
}
