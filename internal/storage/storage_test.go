package storage_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddyserver/certmagic"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/storage"
)

var (
	_ certmagic.Storage   = (*storage.Directory)(nil)
	_ certmagic.TryLocker = (*storage.Directory)(nil)
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOpenMakesAPrivateDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	d, err := storage.OpenDirectory(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: got %v, %v, want mode 0700", info.Mode(), err)
	}
	const key = "registrations/example.com/eu.json"
	if _, err := d.Load(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before Store: got %v, want fs.ErrNotExist", err)
	}
	if err := d.Store(t.Context(), key, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, key)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file: got %v, %v, want mode 0600", info.Mode(), err)
	}
	again, err := storage.OpenDirectory(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Load(t.Context(), key); err != nil || string(got) != "{}" {
		t.Errorf("after reopening: got %q, %v", got, err)
	}
}

func TestProbeLeavesNothing(t *testing.T) {
	d, err := storage.OpenDirectory(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := d.List(t.Context(), "probe", true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || len(keys) > 0 {
		t.Errorf("got %q, %v, want nothing left", keys, err)
	}
}

func TestErrorsNameThePathAndTheFix(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := storage.OpenDirectory(dir, nil)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q cannot be used by uid %d", dir, os.Getuid())) ||
			!strings.Contains(err.Error(), "a part of this path is a file") {
			t.Errorf("%s: got %v", dir, err)
		}
	}
	for errno, want := range map[error]string{
		syscall.EACCES: fmt.Sprintf("chown -R %d %s", os.Getuid(), "/data"),
		syscall.EPERM:  "securityContext.fsGroup",
		syscall.EROFS:  "mounted read-only",
		syscall.ENOSPC: "is full",
		syscall.EDQUOT: "is full",
		syscall.EIO:    "choose another with data_dir",
	} {
		got := storage.Explain("/data", &fs.PathError{Op: "open", Path: "/data/x", Err: errno})
		if !strings.Contains(got.Error(), want) || !errors.Is(got, errno) {
			t.Errorf("%v: got %q, want %q in it", errno, got, want)
		}
	}
	if got := storage.Explain(filepath.Dir(file), syscall.EACCES).Error(); !strings.Contains(got, "(owner uid ") {
		t.Errorf("an existing directory: got %q, want its owner", got)
	}
}

// TestProofCanWait: with ProveLater, opening a directory that stands writes nothing,
// so that no visitor waits for the disk; Prove makes up for it.
func TestProofCanWait(t *testing.T) {
	dir := t.TempDir()
	core, logs := observer.New(zap.DebugLevel)
	s, err := storage.Open(storage.Config{Path: dir, ProveLater: true, Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("after Open: got %v, %v, want nothing in the directory", entries, err)
	}
	for range 2 {
		s.Prove(t.Context())
	}
	if n := logs.FilterMessage("data directory is writable").Len(); n != 1 {
		t.Errorf("Prove twice: told %d times, want once", n)
	}
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := storage.Open(storage.Config{Path: dir, ProveLater: true}); err == nil {
		t.Error("a file in the place of the directory: got no error from Open")
	}
	if err := errors.Join(os.Remove(dir), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if s, err = storage.Open(storage.Config{Path: dir, ProveLater: true, Logger: zap.New(core)}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	s.Prove(t.Context())
	if n := logs.FilterLevelExact(zap.ErrorLevel).FilterMessageSnippet("cannot be written").Len(); n != 1 {
		t.Errorf("a directory that is lost between Open and Prove: told %d times, want once", n)
	}
}

func TestWritableSeesALostDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d, err := storage.OpenDirectory(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := d.Writable(t.Context()); err == nil {
		t.Error("got no error where the directory has become a file")
	}
}
