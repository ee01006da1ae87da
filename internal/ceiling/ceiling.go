// Package ceiling finds out how much memory this process may have: the least that
// any control group around it allows. A kernel ends a process that takes more, so
// the collector of garbage is told to keep below it.
package ceiling

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// none is what is written where there is no limit: version 1 of control groups
// writes the largest number of pages, in bytes.
const none = 1 << 60

// Of returns the limit in bytes of the control groups that /proc/self tells of below
// root, which is "/" but in tests; 0 = there is none, or none that can be read.
// See https://docs.kernel.org/admin-guide/cgroup-v2.html and
// https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
func Of(root string) uint64 {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return 0
	}
	least := uint64(0)
	for line := range bytes.Lines(groups) {
		// hierarchy-ID:controller-list:cgroup-path
		parts := strings.SplitN(strings.TrimSpace(string(line)), ":", 3)
		if len(parts) != 3 {
			continue
		}
		kind, files := "", []string(nil)
		switch {
		case parts[0] == "0" && parts[1] == "":
			kind, files = "cgroup2", []string{"memory.max", "memory.high"}
		case has(parts[1], "memory"):
			kind, files = "cgroup", []string{"memory.limit_in_bytes"}
		default:
			continue
		}
		if at, inside, ok := mounted(mounts, kind, parts[2]); ok {
			least = lower(least, walk(filepath.Join(root, at), inside, files))
		}
	}
	return least
}

// walk returns the least limit of the group at path below the mount point top, and
// of all groups around it.
func walk(top, path string, files []string) uint64 {
	least := uint64(0)
	for {
		for _, file := range files {
			least = lower(least, limit(filepath.Join(top, path, file)))
		}
		if path == "/" || path == "." {
			return least
		}
		path = filepath.Dir(path)
	}
}

// limit reads one limit, 0 where there is none.
func limit(file string) uint64 {
	text, err := os.ReadFile(file) // #nosec G703 -- the kernel names it
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n >= none { // "max"
		return 0
	}
	return n
}

// lower returns the lower one of two limits of which 0 is none.
func lower(a, b uint64) uint64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// mounted returns where the groups of a kind are mounted, and where below that the
// group is which /proc/self/cgroup calls group. A container sees only a part of
// them: then the mount has a root of its own.
func mounted(mounts []byte, kind, group string) (at, inside string, ok bool) {
	lines := bufio.NewScanner(bytes.NewReader(mounts))
	for lines.Scan() {
		// 36 35 98:0 ROOT POINT options [optional...] - TYPE source super-options
		before, after, found := strings.Cut(lines.Text(), " - ")
		fields, last := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(last) < 3 || last[0] != kind || kind == "cgroup" && !has(last[2], "memory") {
			continue
		}
		root, point := fields[3], fields[4]
		switch {
		case root == "/":
			return point, filepath.Join("/", group), true
		case group == root || strings.HasPrefix(group, root+"/"):
			return point, filepath.Join("/", strings.TrimPrefix(group, root)), true
		default: // it has a name from another view; the mount is what is around us
			return point, "/", true
		}
	}
	return "", "", false
}

// has reports whether a list with commas has a word.
func has(list, word string) bool {
	for item := range strings.SplitSeq(list, ",") {
		if item == word {
			return true
		}
	}
	return false
}
