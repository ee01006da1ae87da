package storage

import (
	"context"
	"fmt"
	"path"
	"strings"

	"wellkey/internal/pattern"
)

// Ephemeral tells whether the directory is lost when the container or machine
// starts again, as far as that can be seen, and why.
func (d *Directory) Ephemeral(ctx context.Context) (ephemeral bool, why string) {
	place, err := do(ctx, d, "looking at the file system", func(context.Context) (place, error) { return look(d.path) }, nil)
	if err != nil {
		return false, ""
	}
	place.empty = d.empty
	why = place.ephemeral()
	return why != "", why
}

// A place is what the system tells about where a directory is.
type place struct {
	dir       string // without symbolic links
	kind      string // "tmpfs", "ramfs", "overlay", or what else mountinfo calls it
	mounts    []mount
	container bool // we run in one
	empty     bool // the directory was empty at start
}

// A mount is a line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mount struct {
	root    string // what of the file system is mounted
	point   string // where
	kind    string
	options string // of the file system
}

// containerLayers are where container engines keep the upper layers of root
// file systems. (OpenWrt and others have an overlay of their own, that stays.)
var containerLayers = pattern.New(`upperdir=[^,]*/(docker|containerd|containers|crio|podman|io\.containerd[^/]*)/`)

// anonymousVolume is one that Docker or Podman made without being told a name:
// the next container gets another.
var anonymousVolume = pattern.New(`/volumes/[0-9a-f]{64}/_data(/|$)`)

// ephemeral says why the place does not last, "" if it seems to.
func (p place) ephemeral() string {
	on, found := p.mount()
	if p.kind == "" {
		p.kind = on.kind
	}
	switch {
	case p.kind == "tmpfs" || p.kind == "ramfs":
		return fmt.Sprintf("it is on a %s, which is memory: it is lost when the machine or container stops", p.kind)
	case !found:
		return ""
	case strings.Contains(on.root, "/volumes/kubernetes.io~empty-dir/"):
		return "it is on an emptyDir volume, which is lost with its pod"
	case anonymousVolume.MatchString(on.root) && p.empty:
		return "it is on a volume without a name, and was empty at this start: the next container gets another"
	case on.point != "/":
		return ""
	case on.kind == "overlay" && (p.container || containerLayers.MatchString(on.options)):
		return "it is in the container's own layer, which is lost with the container: nothing is mounted there"
	case on.kind == "overlay" && p.empty:
		return "it is on an overlay over the root file system, and was empty at this start"
	case p.container && p.empty:
		return "it is on the container's own root file system, and was empty at this start: nothing is mounted there"
	}
	return ""
}

// mount returns the one that the directory is on: the deepest, and of several at
// one point the last.
func (p place) mount() (on mount, found bool) {
	for _, m := range p.mounts {
		if (p.dir == m.point || strings.HasPrefix(p.dir, strings.TrimSuffix(m.point, "/")+"/")) && len(m.point) >= len(on.point) {
			on, found = m, true
		}
	}
	return on, found
}

// parseMounts reads /proc/self/mountinfo. Lines that are none are left out.
func parseMounts(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(rest) < 1 {
			continue
		}
		m := mount{root: unescape(fields[3]), point: path.Clean(unescape(fields[4])), kind: rest[0]}
		if len(rest) > 2 {
			m.options = unescape(rest[2])
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// unescape undoes how the kernel writes what would break a line.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
