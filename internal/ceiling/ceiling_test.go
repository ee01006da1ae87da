package ceiling_test

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/ceiling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	two      = "31 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	cpu      = "30 23 0:25 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
	one      = "32 23 0:27 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory\n"
	notOurs  = "33 23 0:28 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
	oneInner = "34 23 0:29 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		groups, mounts string
		limits         map[string]string
		want           uint64
	}{
		"version 2":                   {"0::/a\n", two, map[string]string{"sys/fs/cgroup/a/memory.max": "134217728\n"}, 134217728},
		"version 2 without a limit":   {"0::/a\n", two, map[string]string{"sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		"the group around has less":   {"0::/a/b/c\n", two, map[string]string{"sys/fs/cgroup/a/b/c/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.max": "300\n", "sys/fs/cgroup/a/memory.max": "200\n"}, 200},
		"the group itself has less":   {"0::/a/b\n", two, map[string]string{"sys/fs/cgroup/a/b/memory.max": "100\n", "sys/fs/cgroup/a/memory.max": "200\n"}, 100},
		"slowed down before":          {"0::/a\n", two, map[string]string{"sys/fs/cgroup/a/memory.max": "200\n", "sys/fs/cgroup/a/memory.high": "150\n"}, 150},
		"a namespace":                 {"0::/\n", two, map[string]string{"sys/fs/cgroup/memory.max": "100\n"}, 100},
		"version 2 without namespace": {"0::/docker/abc/d\n", notOurs, map[string]string{"sys/fs/cgroup/d/memory.max": "max\n", "sys/fs/cgroup/memory.max": "100\n"}, 100},
		"a name from another view":    {"0::/../x\n", notOurs, map[string]string{"sys/fs/cgroup/memory.max": "100\n"}, 100},
		"version 1":                   {"9:cpu:/b\n8:memory:/a\n0::/\n", cpu + one + two, map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "100\n"}, 100},
		"version 1 without a limit":   {"8:memory:/a\n", one, map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"version 1, with another":     {"8:cpu,memory:/a\n", one, map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "100\n"}, 100},
		"version 1, nested":           {"8:memory:/a/b\n", one, map[string]string{"sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "100\n"}, 100},
		"version 1 in a container":    {"8:memory:/docker/abc\n", oneInner, map[string]string{"sys/fs/cgroup/memory/memory.limit_in_bytes": "100\n"}, 100},
		"both versions":               {"8:memory:/a\n0::/a\n", one + two, map[string]string{"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "200\n", "sys/fs/cgroup/a/memory.max": "100\n"}, 100},
		"another prefix":              {"0::/docker/abcd\n", notOurs, map[string]string{"sys/fs/cgroup/memory.max": "100\n"}, 100},
		"nothing is mounted":          {"0::/a\n", "", nil, 0},
		"memory is not controlled":    {"0::/a\n", two, nil, 0},
		"nonsense":                    {"what\n0::/a\n", "a b - c\n" + two, map[string]string{"sys/fs/cgroup/a/memory.max": "much\n"}, 0},
		"another system":              {"", "", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			files := map[string]string{}
			if tc.groups != "" {
				files["proc/self/cgroup"], files["proc/self/mountinfo"] = tc.groups, tc.mounts
			}
			for path, text := range tc.limits {
				files[path] = text
			}
			for path, text := range files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := ceiling.Of(root); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}
