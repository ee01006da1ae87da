package deploytest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built are the programs of deploy/check that were built, in a directory that Main
// removes. Building takes a minute where nothing is cached, a second elsewhere;
// running takes much less than "go run" does.
var built struct {
	mu       sync.Mutex
	dir      string           // guarded by mu
	programs map[string]error // guarded by mu; by name, with why it was not built
}

// Main runs the tests of a package and removes what Check built.
func Main(m *testing.M) int {
	defer func() {
		if built.dir != "" {
			_ = os.RemoveAll(built.dir) // a temporary directory
		}
	}()
	return m.Run()
}

// Check runs a program of deploy/check, the module of what is too large for the
// module of wellkey: it reads files as their users do. The error holds what the
// program said. TestMain must have called Main.
func Check(t testing.TB, stdin, program string, args ...string) (stdout string, err error) {
	t.Helper()
	path, err := build(Root(t), program)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", program, err, said.String())
	}
	return out.String(), nil
}

func build(root, program string) (path string, err error) {
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir == "" {
		if built.dir, err = os.MkdirTemp("", "wellkey-check-"); err != nil {
			return "", err
		}
		built.programs = map[string]error{}
	}
	path = filepath.Join(built.dir, program)
	if err, ok := built.programs[program]; ok {
		return path, err
	}
	cmd := exec.Command("go", "-C", filepath.Join(root, "deploy/check"), "build", "-buildvcs=false", "-o", path, "./"+program)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if said, failed := cmd.CombinedOutput(); failed != nil {
		err = fmt.Errorf("building deploy/check/%s: %w\n%s", program, failed, said)
	}
	built.programs[program] = err
	return path, err
}
