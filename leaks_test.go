package main

import (
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

// The tests of every package end by looking for goroutines that are left, also where
// the package starts none today: what it will call may.
func TestEveryPackageLooksForLeaks(t *testing.T) {
	t.Parallel()
	looked := 0
	for _, line := range golist(t, "-f", `{{.ImportPath}} {{.Dir}} {{join .TestGoFiles " "}} {{join .XTestGoFiles " "}}`, "./...") {
		words := strings.Fields(line)
		pkg, dir, files := words[0], words[1], words[2:]
		found := len(files) == 0
		for _, file := range files {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if looks.Match(text) {
				found = true
				looked++
			}
		}
		if !found {
			t.Errorf("the tests of %s do not look for goroutines that are left: func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }", pkg)
		}
	}
	if looked < 40 {
		t.Errorf("only %d packages look: they were not understood", looked)
	}
}
