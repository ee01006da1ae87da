package main_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Each promise of the README links the tests behind it, and they are there.
func TestPromises(t *testing.T) {
	t.Parallel()
	_, section, found := strings.Cut(read(t, "README.md"), "\n## What you may rely on\n")
	if !found {
		t.Fatal("README.md promises nothing")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	promises := regexp.MustCompile(`(?m)^\d\. `).Split(section, -1)[1:]
	if len(promises) != 8 {
		t.Errorf("%d promises, want 8", len(promises))
	}
	link := regexp.MustCompile("\\[`([^`]+)`\\]\\(([^)]+)\\)")
	for i, promise := range promises {
		links := link.FindAllStringSubmatch(promise, -1)
		if len(links) == 0 {
			t.Errorf("promise %d has no test behind it", i+1)
		}
		for _, l := range links {
			name, path := l[1], l[2]
			text, err := os.ReadFile(path)
			if err != nil {
				t.Errorf("promise %d: %v", i+1, err)
				continue
			}
			if name != path && !strings.Contains(string(text), "\nfunc "+name+"(t *testing.T) {") {
				t.Errorf("promise %d: there is no %s in %s", i+1, name, path)
			}
		}
	}
}
