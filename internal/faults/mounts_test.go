package faults_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// mountTmpfs mounts a new file system of that many kB over dir.
func mountTmpfs(t *testing.T, dir string, kB int) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+strconv.Itoa(kB)+"k"); err != nil {
		t.Fatalf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { unmount(dir) })
}

// unmount takes all mounts of dir away; there may be none.
func unmount(dir string) {
	for syscall.Unmount(dir, syscall.MNT_DETACH) == nil {
		continue
	}
}

// tmpfsMagic is what statfs says of a tmpfs (linux/magic.h).
const tmpfsMagic = 0x01021994

// mountVolume mounts a directory of a disk over the data directory, as a container
// engine does with a volume, with the same content.
func (w *world) mountVolume() {
	w.t.Helper()
	files := snapshot(w.t, w.DataDir)
	for _, place := range []string{os.TempDir(), "/var/tmp", "."} {
		var system syscall.Statfs_t
		must(w.t, syscall.Statfs(place, &system))
		if system.Type == tmpfsMagic {
			continue
		}
		volume, err := os.MkdirTemp(place, "wellkey-faults-volume-")
		must(w.t, err)
		w.t.Cleanup(func() { unmount(w.DataDir); _ = os.RemoveAll(volume) })
		must(w.t, syscall.Mount(volume, w.DataDir, "", syscall.MS_BIND, ""))
		restore(w.t, w.DataDir, files)
		return
	}
	w.t.Fatal("there is no disk here: all of the temporary directory, /var/tmp and this directory are on a tmpfs")
}

// readOnly mounts dir over itself, read-only.
func readOnly(t *testing.T, dir string) {
	t.Helper()
	must(t, syscall.Mount(dir, dir, "", syscall.MS_BIND, ""), syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	t.Cleanup(func() { unmount(dir) })
}

// fill writes to a file in dir until nothing more fits, and returns what makes
// room again.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	f, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(t, err)
	defer f.Close()
	for size := 4096; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			size /= 2
		}
	}
	return func() { must(t, os.Remove(ballast)) }
}
