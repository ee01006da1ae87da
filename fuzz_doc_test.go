package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var target = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// TestFuzzTargetsAreTold: docs/reliability.md tells of every target, and of no other.
func TestFuzzTargetsAreTold(t *testing.T) {
	text, err := os.ReadFile("docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	err = filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range target.FindAllStringSubmatch(string(source), -1) {
			count++
			if row := "| `" + filepath.ToSlash(filepath.Dir(path)) + " " + found[1] + "` |"; !strings.Contains(string(text), row) {
				t.Errorf("docs/reliability.md has no row that begins with %s", row)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if told := len(regexp.MustCompile("(?m)^\\| `\\S+ Fuzz").FindAll(text, -1)); told != count {
		t.Errorf("docs/reliability.md tells of %d targets, and there are %d", told, count)
	}
}
