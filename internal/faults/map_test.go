package faults_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// rows is how many faults docs/reliability.md tells of.
const rows = 48

var named = regexp.MustCompile("`([a-z/]+) (Test[A-Za-z0-9]+)`")

// TestEveryFaultHasATest reads docs/reliability.md: each fault has a number, what
// wellkey does, and tests, which exist. And no test of a fault here is left out.
func TestEveryFaultHasATest(t *testing.T) {
	text, err := os.ReadFile("../../docs/reliability.md")
	must(t, err)
	there := map[string]map[string]bool{} // tests by room
	mentioned := map[string]bool{}
	count := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		number, err := strconv.Atoi(strings.TrimSpace(cells[0]))
		if err != nil {
			continue
		}
		if count++; number != count || len(cells) != 4 {
			t.Errorf("row %d has the number %d and %d cells", count, number, len(cells))
			continue
		}
		tests := named.FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 || len(tests) != strings.Count(cells[3], "`")/2 || cells[1] == "" || cells[2] == "" {
			t.Errorf("row %d has %d tests in: %s", number, len(tests), cells[3])
		}
		for _, test := range tests {
			room, name := test[1], test[2]
			if there[room] == nil {
				there[room] = testsOf(t, room)
			}
			if !there[room][name] {
				t.Errorf("row %d: there is no %s in %s", number, name, room)
			}
			mentioned[room+" "+name] = true
		}
	}
	if count != rows {
		t.Errorf("%d rows, want %d", count, rows)
	}
	for _, room := range []string{"internal/faults", "internal/faults/network"} {
		for name := range testsOf(t, room) {
			if !mentioned[room+" "+name] && name != t.Name() {
				t.Errorf("docs/reliability.md does not tell of %s in %s", name, room)
			}
		}
	}
}

// testsOf returns the tests in a room that go test would run.
func testsOf(t *testing.T, room string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", room, "*_test.go"))
	must(t, err)
	tests := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		must(t, err)
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && len(f.Type.Params.List) == 1 {
				tests[f.Name.Name] = true
			}
		}
	}
	delete(tests, "TestMain")
	return tests
}
