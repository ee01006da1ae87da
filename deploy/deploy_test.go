// Package deploy_test keeps what lies under deploy true: each file is exercised by
// a test of its folder, and what it says of wellkey is so.
package deploy_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"wellkey/internal/testleak"
)

func TestMain(m *testing.M) { testleak.Main(m.Run) }

// files returns all files under deploy, but those that Go itself takes care of.
func files(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch filepath.Ext(path) {
		case ".go", ".mod", ".sum":
		default:
			all = append(all, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("only %q: the walk is broken", all)
	}
	return all
}

// Every file is named by a test that lies in its folder or in one above: in a
// string, as it lies below the test or by its name alone, or by a pattern such as
// "*.yaml".
func TestEveryFileIsClaimed(t *testing.T) {
	claims := map[string][]string{} // strings in the tests of a folder, by folder
	claimsOf := func(folder string) []string {
		if _, ok := claims[folder]; !ok {
			claims[folder] = literals(t, folder)
		}
		return claims[folder]
	}
	for _, file := range files(t) {
		claimed := false
		for folder := path.Dir(file); !claimed; folder = path.Dir(folder) {
			below := strings.TrimPrefix(file, folder+"/")
			claimed = slices.ContainsFunc(claimsOf(folder), func(claim string) bool {
				inFolder, _ := path.Match(claim, below)
				byName, _ := path.Match(claim, path.Base(file))
				return inFolder || byName
			})
			if folder == "." {
				break
			}
		}
		if !claimed && path.Base(file) != ".gitignore" {
			t.Errorf("deploy/%s is named by no test of its folder: who would see that it is wrong?", file)
		}
	}
}

// literals returns the strings in the test files of a folder that can be the name
// of a file, or a pattern for some.
func literals(t *testing.T, folder string) []string {
	t.Helper()
	tests, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, test := range tests {
		if folder == "." { // what is said here is about all folders
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), test, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, _ := strconv.Unquote(literal.Value) // the parser has read it
				if _, err := path.Match(text, ""); err == nil && strings.Trim(text, "*?/.") != "" {
					found = append(found, text)
				}
			}
			return true
		})
	}
	return found
}

// What calls itself YAML or JSON is that.
func TestWellFormed(t *testing.T) {
	for _, file := range files(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(file, "/templates/"): // of Helm: YAML only when rendered
		case strings.HasSuffix(file, ".yaml"), strings.HasSuffix(file, ".yml"):
			decoder := yaml.NewDecoder(strings.NewReader(string(text)))
			for {
				var document any
				if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Errorf("deploy/%s: %v", file, err)
					break
				}
			}
		case strings.HasSuffix(file, ".json") && !json.Valid(text):
			t.Errorf("deploy/%s is no JSON", file)
		}
	}
}

// Shell scripts please shellcheck, those of the checks included.
func TestShellcheck(t *testing.T) {
	scripts := []string{"-x"}
	ci, err := filepath.Glob("../.ci/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files(t), ci...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(string(text), "\n"); strings.HasPrefix(first, "#!") && strings.Contains(first, "sh") {
			scripts = append(scripts, path.Join("deploy", file))
		}
	}
	if len(scripts) == 1 {
		t.Fatal("there is no script: the walk is broken")
	}
	cmd := exec.Command("shellcheck", scripts...)
	cmd.Dir = ".." // what one of them sources is named from there
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("shellcheck (Debian package shellcheck): %v\n%s", err, out)
	}
}
