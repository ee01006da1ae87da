package trial

import (
	"context"
	"debug/buildinfo"
	"os/exec"
	"strings"
)

// Revision says which wellkey is tried: given, or where that is "" the one that Wellkey
// builds of the tree of files around the current directory.
func Revision(ctx context.Context, given string) string {
	if given != "" {
		return recorded(given)
	}
	// Git wants to be told of a directory that is somebody else's.
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	revision, err := git("rev-parse", "--short=12", "HEAD")
	if err != nil {
		return unknown
	}
	changed, err := git("status", "--porcelain", "--untracked-files=no")
	return called(revision, err != nil || changed != "")
}

const unknown = "a wellkey of an unknown revision"

// called returns what a revision is called.
func called(revision string, changed bool) string {
	if changed {
		return "wellkey " + revision + " with changes"
	}
	return "wellkey " + revision
}

// recorded returns what Go noted in a program of the revision that it was built of.
func recorded(path string) string {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return unknown
	}
	revision, changed := "", false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case "vcs.modified":
			changed = s.Value == "true"
		}
	}
	if revision == "" {
		return unknown
	}
	return called(revision, changed)
}
