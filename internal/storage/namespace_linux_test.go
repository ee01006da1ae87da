package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"wellkey/internal/storage"
	"wellkey/internal/testnamespace"
)

// A process that has ended, but whose parent has not looked yet, holds no lock.
func TestZombiesAreDead(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	must(t, command.Start())
	defer func() { must(t, command.Wait()) }()
	pid := command.Process.Pid
	must(t, unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	must(t, err)
	start := strings.Fields(string(stat[strings.LastIndex(string(stat), ")"):]))[20]

	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "locks"), 0o700))
	record := own(t, func(r map[string]any) { r["pid"], r["start"] = pid, json.Number(start) })
	must(t, os.WriteFile(filepath.Join(dir, lockKey), record, 0o600))
	d := open(t, storage.Config{Path: dir})
	if ok, err := d.TryLock(t.Context(), "l"); !ok || err != nil {
		t.Fatalf("got %v, %v, want the lock at once", ok, err)
	}
	must(t, d.Unlock(t.Context(), "l"))
}

// inNamespace tells whether the test runs where it may mount. If not, it runs the
// test again in a process with a mount namespace of its own, which takes all
// mounts with it, and fails where that cannot be.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const variable = "WELLKEY_TEST_NAMESPACE"
	if os.Getenv(variable) != "" {
		return true
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.timeout=5m")
	command.Env = append(os.Environ(), variable+"=1", "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	command.SysProcAttr = testnamespace.Mounts()
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Errorf("in a mount namespace: %v\n%s", err, output)
	}
	return false
}

// mountTmpfs returns a new file system of that many kB.
func mountTmpfs(t *testing.T, kB int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+strconv.Itoa(kB)+"k"); err != nil {
		t.Fatalf("mounting a tmpfs: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func TestTmpfsIsEphemeral(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := filepath.Join(mountTmpfs(t, 64), "state")
	for start := range 2 { // At the second start it is not empty.
		d := open(t, storage.Config{Path: dir})
		if ephemeral, why := d.Ephemeral(t.Context()); !ephemeral || !strings.Contains(why, "tmpfs") {
			t.Errorf("start %d: got %v, %q, want tmpfs named", start, ephemeral, why)
		}
		must(t, d.Store(t.Context(), "k", []byte("v")))
	}
	disk := filepath.Join(t.TempDir(), "bound")
	must(t, os.Mkdir(disk, 0o700))
	must(t, syscall.Mount(disk, disk, "", syscall.MS_BIND, ""))
	defer func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) }()
	var system syscall.Statfs_t
	must(t, syscall.Statfs(disk, &system))
	const tmpfs = 0x01021994
	ephemeral, why := open(t, storage.Config{Path: disk}).Ephemeral(t.Context())
	if ephemeral != (system.Type == tmpfs) {
		t.Errorf("a mount of its own: got %v, %q", ephemeral, why)
	}
}

func TestDiskFull(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := mountTmpfs(t, 64)
	registry := prometheus.NewRegistry()
	d := open(t, storage.Config{Path: dir, Registerer: registry})
	must(t, d.Store(t.Context(), "certificates/a/a.crt", []byte("old")))
	must(t, d.Lock(t.Context(), "held"))
	wantWritable(t, registry, 1)
	fill(t, filepath.Join(dir, "ballast"))

	err := d.Store(t.Context(), "certificates/a/a.crt", []byte(strings.Repeat("new", 5000)))
	if !errors.Is(err, storage.ErrFull) || errors.Is(err, storage.ErrReadOnly) || !strings.Contains(err.Error(), "free some space") || !strings.Contains(err.Error(), dir) {
		t.Errorf("Store: got %v, want ErrFull with path and fix", err)
	}
	wantWritable(t, registry, 0)
	if err := d.Writable(t.Context()); !errors.Is(err, storage.ErrFull) {
		t.Errorf("Writable: got %v, want ErrFull", err)
	}
	if _, err := d.TryLock(t.Context(), "another"); !errors.Is(err, storage.ErrFull) {
		t.Errorf("TryLock: got %v, want ErrFull", err)
	}
	if got, err := d.Load(t.Context(), "certificates/a/a.crt"); err != nil || string(got) != "old" {
		t.Errorf("Load: got %q, %v, want the old value", got, err)
	}
	must(t, d.Store(t.Context(), "certificates/a/a.crt", []byte("old"))) // There it is already.
	must(t, d.Unlock(t.Context(), "held"))
	if keys, err := d.List(t.Context(), "certificates/a", true); err != nil || len(keys) != 1 {
		t.Errorf("got %q, %v, want no half file", keys, err)
	}
	fill(t, filepath.Join(dir, "more")) // what the lock left
	wantLoads(t, dir, "certificates/a/a.crt")

	must(t, errors.Join(os.Remove(filepath.Join(dir, "ballast")), os.Remove(filepath.Join(dir, "more"))))
	must(t, d.Writable(t.Context()))
	wantWritable(t, registry, 1)
	must(t, d.Store(t.Context(), "certificates/a/a.crt", []byte("new")))
}

// wantLoads wants a directory that cannot be written to be opened all the same,
// with one line about it, so that what is in it can be served.
func wantLoads(t *testing.T, dir, key string) {
	t.Helper()
	core, seen := observer.New(zap.ErrorLevel)
	registry := prometheus.NewRegistry()
	d, err := storage.New(storage.Config{Path: dir, Registerer: registry, Logger: zap.New(core)})
	must(t, err)
	if got, err := d.Load(t.Context(), key); err != nil || string(got) != "old" {
		t.Errorf("after New: got %q, %v, want the old value", got, err)
	}
	wantWritable(t, registry, 0)
	if n := seen.FilterMessageSnippet("cannot be written").Len(); n != 1 {
		t.Errorf("%d lines about it, want 1", n)
	}
}

// fill writes to file until nothing more fits.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
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
}

func TestReadOnly(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := mountTmpfs(t, 64)
	registry := prometheus.NewRegistry()
	d := open(t, storage.Config{Path: dir, Registerer: registry, Refresh: refresh})
	must(t, d.Store(t.Context(), "k", []byte("old")))
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	for name, err := range map[string]error{
		"Store":      d.Store(t.Context(), "k", []byte("new")),
		"Delete":     d.Delete(t.Context(), "k"),
		"Lock":       d.Lock(t.Context(), "l"),
		"Writable":   d.Writable(t.Context()),
		"Quarantine": d.Quarantine(t.Context(), "k", "a test"),
	} {
		if !errors.Is(err, storage.ErrReadOnly) || errors.Is(err, storage.ErrFull) || !strings.Contains(err.Error(), "mounted read-only") || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v, want ErrReadOnly with path and fix", name, err)
		}
	}
	wantWritable(t, registry, 0)
	wantLoads(t, dir, "k")
	must(t, d.Store(t.Context(), "k", []byte("old")))
	if got, err := d.Load(t.Context(), "k"); err != nil || string(got) != "old" {
		t.Errorf("Load: got %q, %v", got, err)
	}
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, ""))
	must(t, d.Writable(t.Context()))
	wantWritable(t, registry, 1)
	must(t, d.Delete(t.Context(), "k"))
	if _, err := d.Load(t.Context(), "k"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

// A lock that could not be given back because the file system had become
// read-only is free once it can be written again.
func TestUnlockOnReadOnly(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	for name, without := range map[string]func(*storage.Directory){
		"flock": func(*storage.Directory) {}, "no flock": (*storage.Directory).WithoutFlock,
	} {
		dir := mountTmpfs(t, 64)
		d := open(t, storage.Config{Path: dir})
		without(d)
		must(t, d.Lock(t.Context(), "l"))
		// The record is open for writing, so the file system itself cannot be remounted.
		must(t, bindReadOnly(dir))
		if err := d.Unlock(t.Context(), "l"); !errors.Is(err, storage.ErrReadOnly) {
			t.Errorf("%s: got %v, want ErrReadOnly", name, err)
		}
		must(t, syscall.Unmount(dir, syscall.MNT_DETACH))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		must(t, d.Lock(ctx, "l"))
		must(t, d.Unlock(ctx, "l"))
		cancel()
	}
}

// Waiting for what cannot be moved away would never end.
func TestDamagedLockOnReadOnly(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir := mountTmpfs(t, 64)
	d := open(t, storage.Config{Path: dir})
	d.WithoutFlock()
	must(t, os.MkdirAll(filepath.Join(dir, lockKey), 0o700))
	must(t, bindReadOnly(dir))
	defer func() { must(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := d.Lock(ctx, "l"); !errors.Is(err, storage.ErrReadOnly) {
		t.Errorf("got %v, want ErrReadOnly", err)
	}
}

// bindReadOnly mounts dir over itself, read-only.
func bindReadOnly(dir string) error {
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		return err
	}
	return syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
}
