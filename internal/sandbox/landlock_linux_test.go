package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"wellkey/internal/sandbox"
)

const (
	readFile, writeFile = unix.LANDLOCK_ACCESS_FS_READ_FILE, unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	truncate, ioctl     = unix.LANDLOCK_ACCESS_FS_TRUNCATE, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	execute, device     = unix.LANDLOCK_ACCESS_FS_EXECUTE, unix.LANDLOCK_ACCESS_FS_MAKE_CHAR
)

// What is asked of the kernel, by its version, and what is said where it refuses.
func TestKernels(t *testing.T) {
	both := sandbox.Config{Read: []string{"/r"}, Write: []string{"/w"}}
	for _, row := range []struct {
		name                  string
		config                sandbox.Config
		noMore                error
		abi                   int
		abiErr, confine       error
		handled, unhandled    uint64
		read, write           uint64 // rights that /r and /w must have
		readsBounded, inForce bool
		reason                string
	}{
		{name: "Linux 6.18", config: both, abi: 7, handled: readFile | writeFile | truncate | ioctl | execute, read: readFile, write: readFile | writeFile | truncate, readsBounded: true, inForce: true},
		{name: "a later version than we know", config: both, abi: 99, handled: readFile | writeFile | truncate | ioctl, read: readFile, write: writeFile, readsBounded: true, inForce: true},
		{name: "Linux 6.1", config: both, abi: 2, handled: readFile | writeFile | execute, unhandled: truncate | ioctl, read: readFile, write: readFile | writeFile, readsBounded: true, inForce: true},
		{name: "writes alone", config: sandbox.Config{Write: []string{"/w"}}, abi: 7, handled: writeFile | execute, unhandled: readFile, write: writeFile, inForce: true},
		{name: "Linux 5.15", config: both, abi: 1, reason: "from Linux 5.19 on"},
		{name: "before Linux 5.13", config: both, abiErr: unix.ENOSYS, reason: "the kernel has no landlock"},
		{name: "switched off", config: both, abiErr: unix.EOPNOTSUPP, reason: "lsm="},
		{name: "a filter", config: both, abiErr: unix.EPERM, reason: "container engine"},
		{name: "cgo", config: both, noMore: errors.Join(sandbox.ErrThreads, unix.ENOTSUP), reason: "cgo"},
		{name: "no version", config: both, abiErr: fmt.Errorf("asking for landlock's version: %w", unix.EINVAL), reason: "the kernel refuses, and wellkey does not know why: asking for landlock's version: invalid argument"},
		{name: "anything else", config: both, abi: 7, confine: unix.E2BIG, reason: unix.E2BIG.Error()},
	} {
		t.Run(row.name, func(t *testing.T) {
			status := sandbox.ApplyOn(row.config, row.noMore, row.abi, row.abiErr, func(handled uint64, rights map[string]uint64) error {
				if handled&row.handled != row.handled || handled&row.unhandled != 0 {
					t.Errorf("watched over is %#x, want %#x and not %#x", handled, row.handled, row.unhandled)
				}
				if rights["/r"]&row.read != row.read || rights["/w"]&row.write != row.write {
					t.Errorf("rights %#x, want %#x for /r and %#x for /w", rights, row.read, row.write)
				}
				for path, has := range rights {
					if has&(execute|device|ioctl) != 0 || has&^handled != 0 || path == "/r" && has&writeFile != 0 {
						t.Errorf("%s has too many rights: %#x", path, has)
					}
				}
				return row.confine
			})
			if status.Reads != row.readsBounded || status.Writes != row.inForce || status.NoNewPrivileges != (row.noMore == nil) {
				t.Errorf("got %+v", status)
			}
			if (status.Reason == "") != row.inForce || (status.Fix == "") != row.inForce || !strings.Contains(status.Reason, row.reason) {
				t.Errorf("reason %q, fix %q; want a reason with %q, and a fix", status.Reason, status.Fix, row.reason)
			}
		})
	}
}

// The kernel under this test, in a program of its own, without cgo.
func TestThisKernel(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "try")
	build := exec.Command("go", "build", "-o", program, "./testdata/try")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	for _, name := range []string{"read", "write", "outside"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name, "file"), []byte("x"), 0o600))
	}
	out, err := exec.Command(program, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.HasPrefix(string(out), "no landlock: ") {
		t.Logf("this kernel has none, so only TestKernels speaks of it: %s", out)
		return
	}
	if string(out) != "all as it should be\n" {
		t.Errorf("in the sandbox:\n%s", out)
	}
}
