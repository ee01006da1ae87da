package keystore_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"wellkey/keystore"
)

func TestGenerate(t *testing.T) {
	s := newShelf(t)
	s.key = filepath.Join(s.dir, "new", "dir", "key.pem")
	store := s.open(t)
	key, err := store.Generate()
	if err != nil {
		t.Fatal(err)
	}
	status := store.Status()
	if key.IsZero() || store.Key() != key || !slices.Equal(s.changes, []keystore.Key{key}) {
		t.Errorf("got %v, store has %v, changes %v", key, store.Key(), s.changes)
	}
	if status.Origin != keystore.OriginGenerated || !status.Private || status.Path != s.key || status.LoadedAt.IsZero() ||
		len(status.Quirks)+len(status.Warnings) > 0 {
		t.Errorf("got %+v", status)
	}
	for path, want := range map[string]fs.FileMode{s.key: 0o600, filepath.Dir(s.key): fs.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: got %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	wantSEC1(t, s.key, key)

	if err := store.Reload(); err != nil || store.Status().Origin != keystore.OriginGenerated {
		t.Errorf("after a reload: %v, %+v", err, store.Status())
	}
	if again := s.open(t); again.Key() != key || again.Status().Origin != keystore.OriginFile {
		t.Errorf("after a restart: got %v, %+v", again.Key(), again.Status())
	}
	if _, err := store.Generate(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	wantSEC1(t, s.key, key)

	write(t, s.key, testKey(t).PEM(), 0o600)
	if err := store.Reload(); err != nil || store.Status().Origin != keystore.OriginFile {
		t.Errorf("after the file was replaced: %v, %+v", err, store.Status())
	}
}

// wantSEC1 holds the file against the form that openssl writes: one block with
// version, private half, the curve's name and the public half.
func wantSEC1(t *testing.T, path string, key keystore.Key) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "EC PRIVATE KEY" || len(rest) > 0 || !bytes.Equal(pem.EncodeToMemory(block), data) {
		t.Fatal("the file is not one canonical SEC 1 block")
	}
	sample, _ := pem.Decode(testdata(t, "good-sec1.pem")) // which openssl reads and writes unchanged
	const scalar, point = 7, 56
	if len(block.Bytes) != len(sample.Bytes) || !bytes.Equal(block.Bytes[:scalar], sample.Bytes[:scalar]) ||
		!bytes.Equal(block.Bytes[scalar+32:point], sample.Bytes[scalar+32:point]) {
		t.Error("the structure is not that of openssl")
	}
	private, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := private.PublicKey.Bytes(); err != nil || fmt.Sprintf("%x", public) != key.Hex() {
		t.Errorf("the file holds another key than %v (%v)", key, err)
	}
}

func TestGenerateTouchesNothing(t *testing.T) {
	for _, test := range []struct {
		name, content string
		restored      bool
	}{
		{name: "bad key file", content: "not a key"},
		{name: "empty key file"},
		{name: "exposed key file", content: string(testdata(t, "good-sec1.pem"))},
		{name: "restored file", content: string(testdata(t, "good-spki.pem")), restored: true},
		{name: "damaged restored file", content: "damaged", restored: true},
	} {
		s := newShelf(t)
		store := s.open(t)
		path := s.key
		if test.restored {
			path = s.restored
		}
		write(t, path, []byte(test.content), 0o644)
		key, err := store.Generate()
		want := fmt.Sprintf("generating key: %q is there already and is not touched: file already exists", path)
		if !errors.Is(err, fs.ErrExist) || err.Error() != want || !key.IsZero() || !store.Key().IsZero() {
			t.Errorf("%s: got %v, %v, want %s", test.name, key, err, want)
		}
		wantFiles(t, s, map[string]string{filepath.Base(path): test.content})
	}
}

func TestGenerateThroughLinkToNowhere(t *testing.T) {
	s := newShelf(t)
	if err := os.Symlink("elsewhere", s.key); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(t).Generate(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if exists(t, filepath.Join(s.dir, "elsewhere")) {
		t.Error("a key was made behind the link")
	}
}

// The file is gone, but vehicles may trust its key.
func TestGenerateAfterVanished(t *testing.T) {
	s := newShelf(t)
	write(t, s.key, testKey(t).PEM(), 0o644)
	store := s.open(t)
	remove(t, s.key)
	_, err := store.Generate()
	want := "generating key: there is a key already, with fingerprint " + testFingerprint + ": file already exists"
	if !errors.Is(err, fs.ErrExist) || err.Error() != want || exists(t, s.key) {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestGenerateWhereNothingCanBeWritten(t *testing.T) {
	s := newShelf(t)
	write(t, filepath.Join(s.dir, "file"), nil, 0o600)
	s.key = filepath.Join(s.dir, "dir", "key.pem")
	store := s.open(t)
	if err := os.Symlink("file", filepath.Join(s.dir, "dir")); err != nil {
		t.Fatal(err)
	}
	if key, err := store.Generate(); err == nil || !strings.HasPrefix(err.Error(), "generating key: ") || !key.IsZero() || !store.Key().IsZero() {
		t.Errorf("got %v, %v", key, err)
	}
}

func TestGenerateHasOneWinner(t *testing.T) {
	s := newShelf(t)
	first := s.open(t)
	config := s.config()
	config.OnChange = nil
	second, err := keystore.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var won []keystore.Key
	var group sync.WaitGroup
	for i := range 32 {
		store := first
		if i%2 == 0 {
			store = second
		}
		group.Go(func() {
			key, err := store.Generate()
			if err != nil {
				if !errors.Is(err, fs.ErrExist) || !key.IsZero() {
					t.Errorf("got %v, %v", key, err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			won = append(won, key)
		})
	}
	group.Wait()
	if len(won) != 1 {
		t.Fatalf("got %d winners, want 1", len(won))
	}
	wantSEC1(t, s.key, won[0])
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	for _, store := range []*keystore.Store{first, second} {
		if err := store.Reload(); err != nil || store.Key() != won[0] {
			t.Errorf("got %v, %v, want %v", store.Key(), err, won[0])
		}
	}
}

// Key and Status are read by every request while the file changes.
func TestReadersDoNotRace(t *testing.T) {
	s := newShelf(t)
	store := s.open(t)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if key := store.Key(); !key.IsZero() && len(key.PEM()) != 178 {
					t.Error("half a key")
				}
				_ = store.Status()
			}
		})
	}
	for i := range 50 {
		key := testKey(t)
		if i%2 == 0 {
			key = otherKey(t)
		}
		write(t, s.key, key.PEM(), 0o644)
		if err := store.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	group.Wait()
	if len(s.changes) != 50 {
		t.Errorf("got %d changes, want 50", len(s.changes))
	}
}

// A crash between writing and naming leaves a temporary file: it is neither read
// nor in the way.
func TestLeftoverOfCrash(t *testing.T) {
	s := newShelf(t)
	leftover := filepath.Join(s.dir, ".key.pem.tmp-1")
	write(t, leftover, testdata(t, "good-sec1.pem"), 0o600)
	store := s.open(t)
	if !store.Key().IsZero() {
		t.Error("a leftover was read")
	}
	if key, err := store.Generate(); err != nil || key == testKey(t) {
		t.Errorf("got %v, %v", key, err)
	}
	if data, err := os.ReadFile(leftover); err != nil || !bytes.Equal(data, testdata(t, "good-sec1.pem")) {
		t.Errorf("the leftover was touched: %v", err)
	}
}

func wantFiles(t *testing.T, s *shelf, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := os.ReadFile(filepath.Join(s.dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if content, ok := want[entry.Name()]; !ok || content != string(data) {
			t.Errorf("%s was made or changed", entry.Name())
		}
	}
	if len(entries) != len(want) {
		t.Errorf("got %d files, want %d", len(entries), len(want))
	}
}
