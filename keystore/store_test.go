package keystore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/keystore"
)

// A shelf is a directory with a key file and a restored file, and what the Store
// on it has reported.
type shelf struct {
	dir, key, restored string
	changes            []keystore.Key
	logs               *observer.ObservedLogs
}

func newShelf(t *testing.T) *shelf {
	dir := t.TempDir()
	return &shelf{dir: dir, key: filepath.Join(dir, "key.pem"), restored: filepath.Join(dir, "restored.pem")}
}

func (s *shelf) config() keystore.Config {
	core, logs := observer.New(zap.DebugLevel)
	s.logs = logs
	return keystore.Config{
		Path: s.key, RestoredPath: s.restored, Logger: zap.New(core),
		OnChange: func(key keystore.Key) { s.changes = append(s.changes, key) },
	}
}

func (s *shelf) open(t *testing.T) *keystore.Store {
	t.Helper()
	store, err := keystore.Open(s.config())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// otherKey is a key that no file in testdata holds but bad-two-keys.pem.
func otherKey(t *testing.T) keystore.Key {
	t.Helper()
	_, second, _ := strings.Cut(string(testdata(t, "bad-two-keys.pem")), "-----END PUBLIC KEY-----\n")
	key, err := keystore.ParsePoint(second)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func write(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

func TestOpenWithoutFile(t *testing.T) {
	s := newShelf(t)
	store := s.open(t)
	status := store.Status()
	if !store.Key().IsZero() || status.Origin != keystore.OriginNone || status.Path != s.key ||
		status.LastError != "" || !status.LoadedAt.IsZero() || len(status.Warnings) > 0 {
		t.Errorf("got %v, %+v", store.Key(), status)
	}
	if err := store.Reload(); err != nil {
		t.Errorf("still without a file: %v", err)
	}
}

func TestOpenReadsKeyFile(t *testing.T) {
	for name, private := range map[string]bool{"good-crlf.pem": false, "good-sec1.pem": true} {
		s := newShelf(t)
		mode := os.FileMode(0o644)
		if private {
			mode = 0o400
		}
		write(t, s.key, testdata(t, name), mode)
		store := s.open(t)
		status := store.Status()
		if store.Key() != testKey(t) || status.Origin != keystore.OriginFile || status.Path != s.key || status.Private != private ||
			status.LoadedAt.IsZero() || status.LastError != "" || len(status.Warnings) > 0 {
			t.Errorf("%s: got %v, %+v", name, store.Key(), status)
		}
		if want := !private; slices.Contains(status.Quirks, keystore.QuirkCRLF) != want {
			t.Errorf("%s: got quirks %v", name, status.Quirks)
		}
		if len(s.changes) != 0 {
			t.Errorf("%s: Open reported a change", name)
		}
	}
}

func TestOpenNeedsPath(t *testing.T) {
	const want = "opening keystore: the key file needs a path of its own"
	for _, config := range []keystore.Config{{}, {Path: "a", RestoredPath: "a"}} {
		if _, err := keystore.Open(config); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestStatusIsACopy(t *testing.T) {
	s := newShelf(t)
	write(t, s.key, testdata(t, "good-crlf.pem"), 0o644)
	write(t, s.restored, otherKey(t).PEM(), 0o644)
	store := s.open(t)
	status := store.Status()
	status.Quirks[0], status.Warnings[0] = "changed", "changed"
	if again := store.Status(); again.Quirks[0] == "changed" || again.Warnings[0] == "changed" {
		t.Errorf("got %+v", again)
	}
}

// One file after the other under a Store that looks at each.
func TestLookFollowsTheFile(t *testing.T) {
	s := newShelf(t)
	store := s.open(t)
	one, two := testKey(t), otherKey(t)
	steps := []struct {
		name      string
		do        func()
		key       keystore.Key
		changes   int    // so far
		lastError string // part of it; "" if there must be none
		logged    string // messages of this step
	}{
		{"nothing", func() {}, keystore.Key{}, 0, "", ""},
		{"a bad first file", func() { write(t, s.key, testdata(t, "bad-html.pem"), 0o644) }, keystore.Key{}, 0, "web page",
			"key file is bad, the last good key stays"},
		{"a key appears", func() { write(t, s.key, one.PEM(), 0o644) }, one, 1, "", "key changed"},
		{"written again", func() { write(t, s.key, one.PEM(), 0o644) }, one, 1, "", ""},
		{"another form", func() { write(t, s.key, testdata(t, "good-sec1.pem"), 0o600) }, one, 1, "", ""},
		{"another key", func() { write(t, s.key, two.PEM(), 0o600) }, two, 2, "", "key changed"},
		{"RSA", func() { write(t, s.key, testdata(t, "bad-rsa-public.pem"), 0o600) }, two, 2, "RSA",
			"key file is bad, the last good key stays"},
		{"still RSA", func() {}, two, 2, "RSA", ""},
		{"fixed", func() { write(t, s.key, two.PEM(), 0o600) }, two, 2, "", "key file is good again"},
		{"vanished", func() { remove(t, s.key) }, two, 2, "has vanished", "key file is bad, the last good key stays"},
		{"still vanished", func() {}, two, 2, "has vanished", ""},
		{"back with another key", func() { write(t, s.key, testdata(t, "good-pkcs8.pem"), 0o600) }, one, 3, "", "key changed"},
		{"opened to the group", func() { write(t, s.key, testdata(t, "good-pkcs8.pem"), 0o640) }, one, 3, "chmod 600",
			"key file is bad, the last good key stays"},
		{"closed again", func() { write(t, s.key, testdata(t, "good-pkcs8.pem"), 0o600) }, one, 3, "", "key file is good again"},
	}
	for _, step := range steps {
		step.do()
		store.Look()
		if store.Key() != step.key || len(s.changes) != step.changes {
			t.Errorf("%s: got key %v after %d changes, want %v after %d", step.name, store.Key(), len(s.changes), step.key, step.changes)
		}
		status := store.Status()
		if (step.lastError == "") != (status.LastError == "") || !strings.Contains(status.LastError, step.lastError) {
			t.Errorf("%s: got last error %q, want %q", step.name, status.LastError, step.lastError)
		}
		if got := messages(s); got != step.logged {
			t.Errorf("%s: logged %q, want %q", step.name, got, step.logged)
		}
	}
	if !slices.Equal(s.changes, []keystore.Key{one, two, one}) {
		t.Errorf("got changes %v", s.changes)
	}
}

func messages(s *shelf) string {
	var all []string
	for _, entry := range s.logs.TakeAll() {
		all = append(all, entry.Message)
	}
	return strings.Join(all, "; ")
}

// Kubernetes mounts a Secret as a symbolic link through ..data, and changes it by
// putting another link in its place.
func TestLookFollowsSymlinkSwap(t *testing.T) {
	s := newShelf(t)
	publish := func(generation string, key keystore.Key) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(s.dir, generation), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(s.dir, generation, "key.pem"), key.PEM(), 0o644)
		if err := os.Symlink(generation, filepath.Join(s.dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(s.dir, "..data_tmp"), filepath.Join(s.dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..1", testKey(t))
	if err := os.Symlink("..data/key.pem", s.key); err != nil {
		t.Fatal(err)
	}
	store := s.open(t)
	publish("..2", otherKey(t))
	store.Look()
	if store.Key() != otherKey(t) || len(s.changes) != 1 {
		t.Errorf("got %v after %d changes", store.Key(), len(s.changes))
	}
}

func TestReload(t *testing.T) {
	s := newShelf(t)
	store := s.open(t)
	write(t, s.key, testdata(t, "good-sec1.pem"), 0o600)
	if err := store.Reload(); err != nil || store.Key() != testKey(t) || len(s.changes) != 1 || !store.Status().Private {
		t.Errorf("got %v, %v, %d changes", err, store.Key(), len(s.changes))
	}
	remove(t, s.key)
	want := fmt.Sprintf("key file %q has vanished; its key is served from memory until the next restart: put the file back", s.key)
	for range 2 { // Reload says it as often as it is asked.
		if err := store.Reload(); err == nil || err.Error() != want || store.Status().LastError != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if store.Key() != testKey(t) || store.Status().Private {
		t.Errorf("got %v, %+v", store.Key(), store.Status())
	}
	if len(s.logs.FilterMessage("key file is bad, the last good key stays").All()) != 0 {
		t.Error("the error was both logged and returned")
	}
}

// A key that is not allowed is refused like a bad file: at the start as an error,
// later by staying with the last good key.
func TestAllow(t *testing.T) {
	s := newShelf(t)
	refused := otherKey(t)
	config := s.config()
	config.Allow = func(key keystore.Key) error {
		if key == refused {
			return errors.New("holds a key that is taken")
		}
		return nil
	}
	write(t, s.key, testKey(t).PEM(), 0o644)
	store, err := keystore.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	good := store.Key()
	write(t, s.key, refused.PEM(), 0o644)
	store.Look()
	store.Look()
	if store.Key() != good || !strings.HasSuffix(store.Status().LastError, "holds a key that is taken") || len(s.changes) != 0 {
		t.Errorf("key %v, error %q, changes %v", store.Key(), store.Status().LastError, s.changes)
	}
	if n := s.logs.FilterMessage("key file is bad, the last good key stays").Len(); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	if _, err := keystore.Open(config); err == nil || err.Error() != fmt.Sprintf("key file %q holds a key that is taken", s.key) {
		t.Errorf("opening: %v", err)
	}
	write(t, s.key, testKey(t).PEM(), 0o644)
	store.Look()
	if store.Status().LastError != "" {
		t.Errorf("error %q after the key file is good again", store.Status().LastError)
	}
}
