// Package testprogram builds the program as it is shipped, for tests that want a
// process of its own: under strace, in a package, behind a socket of systemd.
package testprogram

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Main runs the tests of a package and removes what Path built.
func Main(m *testing.M) int {
	defer func() {
		if dir != "" {
			_ = os.RemoveAll(dir) // a temporary directory
		}
	}()
	return m.Run()
}

// dir is where the program was built, "" while it was not. It belongs to the
// package's tests as a whole, which end in Main.
var (
	once sync.Once
	dir  string
	fail error
	said []byte
)

// Path returns the path of the program. It is static, stripped and without the
// race detector; the first call builds it, all others share it. TestMain must
// have called Main.
func Path(t testing.TB) string {
	t.Helper()
	once.Do(func() {
		if dir, fail = os.MkdirTemp("", "wellkey-program-"); fail != nil {
			return
		}
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(dir, "wellkey"), "wellkey")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		said, fail = build.CombinedOutput()
	})
	if fail != nil {
		t.Fatalf("building the program: %v\n%s", fail, said)
	}
	return filepath.Join(dir, "wellkey")
}
