package keystore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"wellkey/keystore"
)

func TestRestore(t *testing.T) {
	s := newShelf(t)
	store := s.open(t)
	key := testKey(t)
	for range 2 { // The second time it is there already, which is fine.
		if err := store.Restore(key); err != nil {
			t.Fatal(err)
		}
	}
	wantRestored(t, s, store)
	if !slices.Equal(s.changes, []keystore.Key{key}) {
		t.Errorf("got changes %v", s.changes)
	}
	wantFiles(t, s, map[string]string{"restored.pem": string(key.PEM())})
	if info, err := os.Stat(s.restored); err != nil || info.Mode() != 0o644 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	if err := store.Reload(); err != nil {
		t.Error(err)
	}
	wantRestored(t, s, store)
	wantRestored(t, s, s.open(t)) // after a restart
	if _, err := store.Generate(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("generated over a restored key: %v", err)
	}
}

func wantRestored(t *testing.T, s *shelf, store *keystore.Store) {
	t.Helper()
	want := fmt.Sprintf("the key file %q is gone, and only the public half of the registered key is served;"+
		" put the private key back there, or rotate to a new key and have every owner pair again", s.key)
	got := store.Status()
	if store.Key() != testKey(t) || got.Origin != keystore.OriginRestored || got.Path != s.restored || got.Private ||
		got.LastError != "" || got.LoadedAt.IsZero() || !slices.Equal(got.Warnings, []string{want}) {
		t.Errorf("got %v, %+v", store.Key(), got)
	}
}

func TestRestoreRefuses(t *testing.T) {
	one := testKey(t)
	private := string(testdata(t, "good-sec1.pem"))
	for _, test := range []struct {
		name  string
		put   func(s *shelf)
		key   keystore.Key
		exist bool
		want  string // KEY and RESTORED are the paths
	}{
		{"no key", func(*shelf) {}, keystore.Key{}, false, "restoring key: there is none"},
		{"no place", func(s *shelf) { s.restored = "" }, one, false, "restoring key: there is no place to keep it"},
		{"bad key file", func(s *shelf) { write(t, s.key, []byte("bad"), 0o644) }, one, true,
			`restoring key: "KEY" is there already and is not touched: file already exists`},
		{"key file that links to nowhere", func(s *shelf) {
			if err := os.Symlink("..data/key.pem", s.key); err != nil {
				t.Fatal(err)
			}
		}, one, true, `restoring key: "KEY" is there already and is not touched: file already exists`},
		{"another restored key", func(s *shelf) { write(t, s.restored, otherKey(t).PEM(), 0o644) }, one, true,
			"restoring key " + testFingerprint + `: "RESTORED" holds another one, with fingerprint ` + otherKey(t).Fingerprint() + ": file already exists"},
		{"private key in its place", func(s *shelf) { write(t, s.restored, []byte(private), 0o600) }, one, true,
			`restoring key: the restored key file "RESTORED" holds a private key where only a public one belongs; a private key goes into the key file;` +
				" it is not touched, and once it is deleted the key is taken from Tesla again: file already exists"},
	} {
		s := newShelf(t)
		config := s.config()
		if test.name == "no place" {
			test.put(s)
			config = s.config()
		}
		store, err := keystore.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		test.put(s)
		before := contents(t, s)
		err = store.Restore(test.key)
		want := strings.NewReplacer("KEY", s.key, "RESTORED", s.restored).Replace(test.want)
		if err == nil || err.Error() != want || errors.Is(err, fs.ErrExist) != test.exist || !store.Key().IsZero() {
			t.Errorf("%s: got %v, want %s", test.name, err, want)
		}
		if after := contents(t, s); !maps.Equal(before, after) {
			t.Errorf("%s: files were made or changed: now %q", test.name, slices.Sorted(maps.Keys(after)))
		}
	}
}

func contents(t *testing.T, s *shelf) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, path := range map[string]string{"key.pem": s.key, "restored.pem": s.restored} {
		if data, err := os.ReadFile(path); err == nil {
			all[name] = string(data)
		}
	}
	return all
}

func TestRestoreOverVanishedKeyFile(t *testing.T) {
	s := newShelf(t)
	write(t, s.key, testKey(t).PEM(), 0o644)
	store := s.open(t)
	remove(t, s.key)
	if err := store.Reload(); err == nil {
		t.Error("a vanished key file is no error")
	}
	want := "restoring key " + otherKey(t).Fingerprint() + ": another one is in use, with fingerprint " + testFingerprint + ": file already exists"
	if err := store.Restore(otherKey(t)); !errors.Is(err, fs.ErrExist) || err.Error() != want {
		t.Errorf("another key: got %v, want %s", err, want)
	}
	if err := store.Restore(testKey(t)); err != nil {
		t.Errorf("the same key: %v", err)
	}
	wantRestored(t, s, store)
	if len(s.changes) != 0 {
		t.Errorf("got changes %v", s.changes)
	}
}

// The operator has found the private half.
func TestKeyFileWinsOverRestored(t *testing.T) {
	for name, reopen := range map[string]bool{"live": false, "after a restart": true} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			store := s.open(t)
			if err := store.Restore(testKey(t)); err != nil {
				t.Fatal(err)
			}
			write(t, s.key, testdata(t, "good-sec1.pem"), 0o600)
			if reopen {
				store = s.open(t)
			} else if err := store.Reload(); err != nil {
				t.Fatal(err)
			}
			got := store.Status()
			if store.Key() != testKey(t) || got.Origin != keystore.OriginFile || !got.Private || got.Path != s.key || len(got.Warnings) > 0 {
				t.Errorf("got %v, %+v", store.Key(), got)
			}
			if exists(t, s.restored) {
				t.Error("the restored file is still there")
			}
		})
	}
}

func TestOtherKeyFileKeepsRestored(t *testing.T) {
	s := newShelf(t)
	store := s.open(t)
	if err := store.Restore(testKey(t)); err != nil {
		t.Fatal(err)
	}
	write(t, s.key, otherKey(t).PEM(), 0o644)
	if err := store.Reload(); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("the key file %q holds another key than the registered one (fingerprint %s) that was kept in %q while there was no key file;"+
		" if vehicles are paired with that one, put its private half back, otherwise delete %s", s.key, testFingerprint, s.restored, s.restored)
	got := store.Status()
	if store.Key() != otherKey(t) || got.Origin != keystore.OriginFile || !slices.Equal(got.Warnings, []string{want}) {
		t.Errorf("got %v, %+v", store.Key(), got)
	}
	if data, err := os.ReadFile(s.restored); err != nil || !bytes.Equal(data, testKey(t).PEM()) {
		t.Errorf("the restored file was touched: %v", err)
	}
	if logged := s.logs.FilterMessage("key needs attention"); logged.FilterFieldKey("warning").Len() != 2 {
		t.Errorf("got %v", logged.All())
	}
}

// A damaged restored file is like none, but said and not overwritten.
func TestDamagedRestoredFile(t *testing.T) {
	s := newShelf(t)
	write(t, s.restored, nil, 0o644)
	store := s.open(t)
	want := fmt.Sprintf("the restored key file %q %v; it is not touched, and once it is deleted the key is taken from Tesla again",
		s.restored, keystore.Refuse(keystore.ReasonEmpty))
	if got := store.Status(); !store.Key().IsZero() || got.Origin != keystore.OriginNone || !slices.Equal(got.Warnings, []string{want}) {
		t.Errorf("got %v, %+v, want %s", store.Key(), got, want)
	}
	write(t, s.key, testKey(t).PEM(), 0o644)
	if err := store.Reload(); err != nil || !slices.Equal(store.Status().Warnings, []string{want}) {
		t.Errorf("with a key file: %v, %+v", err, store.Status())
	}
	remove(t, s.restored)
	if err := store.Reload(); err != nil || len(store.Status().Warnings) > 0 {
		t.Errorf("deleted: %v, %+v", err, store.Status())
	}
}
