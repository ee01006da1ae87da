package durable_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/durable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noLinks is os.Link on a file system that has none, such as vfat.
func noLinks(string, string) error { return syscall.EPERM }

func TestWriteFileReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for i, mode := range []fs.FileMode{0o600, 0o666, 0o400} {
		content := fmt.Sprint("content ", i)
		if err := durable.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		want(t, path, content, mode)
	}
	wantNames(t, filepath.Dir(path), "f")
}

func TestWriteFileThatCannotBeRenamedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(path, []byte("new"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	wantNames(t, dir, "taken")
}

func TestCreateFile(t *testing.T) {
	for name, link := range map[string]func(string, string) error{"hard links": os.Link, "no hard links": noLinks} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			if err := durable.CreateFileLinking(path, []byte("first"), 0o640, link); err != nil {
				t.Fatal(err)
			}
			want(t, path, "first", 0o640)
			if err := durable.CreateFileLinking(path, []byte("second"), 0o600, link); !errors.Is(err, fs.ErrExist) {
				t.Errorf("got %v, want fs.ErrExist", err)
			}
			want(t, path, "first", 0o640)

			dangling := filepath.Join(dir, "link")
			if err := os.Symlink("nowhere", dangling); err != nil {
				t.Fatal(err)
			}
			if err := durable.CreateFileLinking(dangling, []byte("x"), 0o600, link); !errors.Is(err, fs.ErrExist) {
				t.Errorf("through a symbolic link: got %v, want fs.ErrExist", err)
			}
			wantNames(t, dir, "f", "link")
		})
	}
}

func TestCreateFileHasOneWinner(t *testing.T) {
	for name, link := range map[string]func(string, string) error{"hard links": os.Link, "no hard links": noLinks} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "f")
			var wins atomic.Int32
			var winner atomic.Value
			var group sync.WaitGroup
			for i := range 32 {
				group.Go(func() {
					content := fmt.Sprint("writer ", i)
					switch err := durable.CreateFileLinking(path, []byte(content), 0o600, link); {
					case err == nil:
						wins.Add(1)
						winner.Store(content)
					case !errors.Is(err, fs.ErrExist):
						t.Error(err)
					}
				})
			}
			group.Wait()
			if wins.Load() != 1 {
				t.Fatalf("got %d winners, want 1", wins.Load())
			}
			want(t, path, winner.Load().(string), 0o600)
			wantNames(t, dir, "f")
		})
	}
}

// A process that died in the middle leaves a temporary file; the next write
// neither reads it nor trips over it.
func TestLeftoversDoNoHarm(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	leftover := filepath.Join(dir, ".f.tmp-1")
	if err := os.WriteFile(leftover, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.CreateFile(path, []byte("whole"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, path, "whole", 0o600)
	if err := durable.WriteFile(path, []byte("newer"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, path, "newer", 0o600)
	want(t, leftover, "half", 0o600)
	wantNames(t, dir, ".f.tmp-1", "f")
}

func TestMissingDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "f")
	for name, write := range map[string]func(string, []byte, fs.FileMode) error{
		"WriteFile": durable.WriteFile, "CreateFile": durable.CreateFile,
	} {
		if err := write(path, nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want fs.ErrNotExist", name, err)
		}
	}
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	for range 2 { // The second time it is there already.
		if err := durable.MkdirAll(deep, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{filepath.Dir(deep), deep} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: got %v, want a directory with 0700", path, info.Mode())
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.MkdirAll(file, 0o700); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: got %v, want fs.ErrExist", err)
	}
}

func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := durable.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // The second time it is gone already.
		if err := durable.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	wantNames(t, filepath.Dir(path))
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Remove(path); err == nil {
		t.Error("a full directory was removed")
	}
}

func want(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != content {
		t.Errorf("%s: got %q, want %q", path, data, content)
	}
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != mode {
		t.Errorf("%s: got mode %v, want %v", path, info.Mode(), mode)
	}
}

func wantNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		t.Errorf("got files %q, want %q", got, names)
	}
}

func TestRemoveAll(t *testing.T) {
	dir := t.TempDir()
	if err := durable.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(filepath.Join(dir, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"a", "a", "missing/below", "f/below"} { // The second time it is gone already.
		if err := durable.RemoveAll(filepath.Join(dir, path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	wantNames(t, dir, "f")
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"from", "to"} {
		if err := durable.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	from, to := filepath.Join(dir, "from", "f"), filepath.Join(dir, "to", "g")
	for _, content := range []string{"first", "second"} {
		if err := durable.WriteFile(from, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := durable.Rename(from, to); err != nil {
			t.Fatal(err)
		}
		want(t, to, content, 0o600)
	}
	wantNames(t, filepath.Dir(from))
	if err := durable.Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	want(t, to, "second", 0o600)
}

func TestIsTemp(t *testing.T) {
	for name, want := range map[string]bool{".f.tmp-1": true, "f": false, ".hidden": false, "f.tmp-1": false} {
		if got := durable.IsTemp(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
