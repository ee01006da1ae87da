// Package testprogram builds the program as it is shipped, for tests that want a
// process of its own: under strace, in a package, behind a socket of systemd.
package testprogram

import (
	"context"
	"fmt"
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
		fail = Build(context.Background(), filepath.Join(dir, "wellkey"))
	})
	if fail != nil {
		t.Fatal(fail)
	}
	return filepath.Join(dir, "wellkey")
}

// Build makes the program at path, for whoever is no test. The error holds what the
// compiler said.
func Build(ctx context.Context, path string) error { return BuildOf(ctx, "", "wellkey", path) }

// BuildOf makes another program as Build makes wellkey: one of a package, as it is
// named in a folder; "" is the current one. More are flags of "go build".
func BuildOf(ctx context.Context, folder, pkg, path string, more ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path}, more...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}
