package listen_test

import (
	"os"
	"path/filepath"
	"testing"

	"wellkey/internal/listen"
)

// TestHolderOf reads a /proc of its own: who listens on a port is named, and who has
// a connection from it, a port that only ends alike, or another user's descriptors,
// is not.
func TestHolderOf(t *testing.T) {
	t.Parallel()
	proc := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(proc, path)), 0o755))
		must(t, os.WriteFile(filepath.Join(proc, path), []byte(text), 0o644))
	}
	link := func(path, target string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(proc, path)), 0o755))
		must(t, os.Symlink(target, filepath.Join(proc, path)))
	}
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	write("net/tcp", head+
		"   0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0 100 0 0 10 0\n"+
		"   1: 0100007F:0050 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 1002 1 0 20 4 30 10 -1\n"+
		"   2: damaged\n")
	write("net/tcp6", head+
		"   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1003 1 0 100 0 0 10 0\n")
	write("17/comm", "nginx\n")
	link("17/fd/0", "/dev/null")
	link("17/fd/6", "socket:[1001]")
	link("17/fd/7", "socket:[1002]")
	write("203/comm", "java\n")
	link("203/fd/9", "socket:[1003]")
	write("uptime", "1 1\n")
	for port, want := range map[uint16]struct {
		pid  int
		name string
	}{443: {17, "nginx"}, 8080: {203, "java"}, 80: {}, 0x1BB0: {}, 0: {}} {
		if pid, name := listen.HolderOf(proc, port); pid != want.pid || name != want.name {
			t.Errorf("port %d: got %d, %q, want %v", port, pid, name, want)
		}
	}
	must(t, os.RemoveAll(filepath.Join(proc, "17", "fd")))
	if pid, name := listen.HolderOf(proc, 443); pid != 0 || name != "" {
		t.Errorf("without descriptors: got %d, %q", pid, name)
	}
	if pid, _ := listen.HolderOf(filepath.Join(proc, "none"), 443); pid != 0 {
		t.Errorf("without /proc: got %d", pid)
	}
}
