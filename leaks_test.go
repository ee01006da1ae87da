package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// looks is what a TestMain does that looks for goroutines which are left.
var looks = regexp.MustCompile(`(?s)\nfunc TestMain\(.*(goleak\.VerifyTestMain|goleak\.Find|testleak\.Main)\(`)

// The tests of every package, of the other modules too, end by looking for goroutines
// that are left, also where the package starts none today: what it will call may.
func TestEveryPackageLooksForLeaks(t *testing.T) {
	t.Parallel()
	looked := map[string]bool{} // whether the tests of a directory do
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		dir := filepath.Dir(path)
		looked[dir] = looked[dir] || looks.Match(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, found := range looked {
		if !found {
			t.Errorf("the tests in %s do not look for goroutines that are left: func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }", dir)
		}
	}
	if _, found := looked["deploy/audit"]; !found || len(looked) < 40 {
		t.Errorf("only %d packages look: they were not understood", len(looked))
	}
}
