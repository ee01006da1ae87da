package storage_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/certmagic"
	"github.com/google/go-cmp/cmp"

	"wellkey/internal/storage"
)

// Directories of certmagic.FileStorage, and of versions that used it, work on;
// and the other way round.
func TestLayoutIsThatOfCertmagic(t *testing.T) {
	dir := t.TempDir()
	theirs := &certmagic.FileStorage{Path: dir}
	d := open(t, storage.Config{Path: dir})
	for i, key := range []string{"certificates/ca/example.com/example.com.crt", "/leading/slash", "a//b/./c", "trailing/"} {
		from, to := certmagic.Storage(theirs), certmagic.Storage(d)
		if i%2 == 1 {
			from, to = to, from
		}
		must(t, from.Store(t.Context(), key, []byte(key)))
		if got, err := to.Load(t.Context(), key); err != nil || string(got) != key {
			t.Errorf("%s: got %q, %v", key, got, err)
		}
	}
	for _, prefix := range []string{"", "certificates", "/leading", "a/"} {
		for _, recursive := range []bool{false, true} {
			want, wantErr := theirs.List(t.Context(), prefix, recursive)
			got, err := d.List(t.Context(), prefix, recursive)
			if diff := cmp.Diff(want, got); diff != "" || err != nil || wantErr != nil {
				t.Errorf("List %q, recursive %v: %v, %v, -theirs +ours:\n%s", prefix, recursive, err, wantErr, diff)
			}
		}
	}
}

func TestModes(t *testing.T) {
	dir := t.TempDir()
	d := open(t, storage.Config{Path: dir})
	must(t, d.Store(t.Context(), "a/b/c", []byte("x")))
	must(t, d.Lock(t.Context(), "l"))
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[entry.IsDir()]; err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %v", path, info.Mode(), err, want)
		}
		return nil
	}))
	must(t, d.Unlock(t.Context(), "l"))
}

func TestSameBytesAreNotWritten(t *testing.T) {
	dir := t.TempDir()
	d := open(t, storage.Config{Path: dir})
	stat := func() fs.FileInfo {
		info, err := os.Stat(filepath.Join(dir, "k"))
		must(t, err)
		return info
	}
	must(t, d.Store(t.Context(), "k", []byte("one")))
	before := stat()
	must(t, d.Store(t.Context(), "k", []byte("one")))
	if !os.SameFile(before, stat()) {
		t.Error("the same bytes were written again")
	}
	must(t, d.Store(t.Context(), "k", []byte("two")))
	if os.SameFile(before, stat()) {
		t.Error("another value was written in place")
	}
}

func TestKeysStayInside(t *testing.T) {
	dir := t.TempDir()
	d := open(t, storage.Config{Path: filepath.Join(dir, "data")})
	must(t, os.WriteFile(filepath.Join(dir, "outside"), []byte("x"), 0o600))
	for _, key := range []string{"../outside", "a/../../outside", "..", "a\x00b"} {
		_, loadErr := d.Load(t.Context(), key)
		_, statErr := d.Stat(t.Context(), key)
		_, listErr := d.List(t.Context(), key, true)
		for call, err := range map[string]error{
			"Store": d.Store(t.Context(), key, []byte("y")), "Delete": d.Delete(t.Context(), key),
			"Load": loadErr, "Stat": statErr, "List": listErr,
		} {
			if err == nil || !strings.Contains(err.Error(), "is not one") {
				t.Errorf("%s %q: got %v, want it refused", call, key, err)
			}
		}
	}
	for _, key := range []string{"", "/", "."} {
		if err := d.Delete(t.Context(), key); err == nil || !strings.Contains(err.Error(), "is empty") {
			t.Errorf("Delete %q: got %v, want it refused", key, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "outside")); err != nil || string(got) != "x" {
		t.Errorf("the file outside: got %q, %v", got, err)
	}
}

// Whatever is in the way of a value goes to quarantine: a certificate that was
// paid for must find its place.
func TestWhatIsInTheWayMoves(t *testing.T) {
	for name, key := range map[string]string{
		"a file for a directory":           "certificates",
		"a file for a directory, deeper":   "certificates/ca",
		"a directory for a file":           "certificates/ca/a.crt/below",
		"a directory for a file, and more": "certificates/ca/a.crt/below/even/deeper",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := open(t, storage.Config{Path: dir})
			must(t, d.Store(t.Context(), key, []byte("in the way")))
			must(t, d.Store(t.Context(), "certificates/ca/a.crt", []byte("value")))
			if got, err := d.Load(t.Context(), "certificates/ca/a.crt"); err != nil || string(got) != "value" {
				t.Errorf("got %q, %v", got, err)
			}
			moved, err := filepath.Glob(filepath.Join(dir, "quarantine", "*", key))
			if err != nil || len(moved) != 1 {
				t.Errorf("got %q, %v, want what was in the way", moved, err)
			}
		})
	}
}

func TestListHidesWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	d := open(t, storage.Config{Path: dir})
	must(t, d.Store(t.Context(), "a/k", []byte("x")))
	must(t, os.WriteFile(filepath.Join(dir, "a", ".k.tmp-123"), []byte("half"), 0o600))
	if keys, err := d.List(t.Context(), "a", true); err != nil || len(keys) != 1 || keys[0] != "a/k" {
		t.Errorf("got %q, %v, want a/k only", keys, err)
	}
}
