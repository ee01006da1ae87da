package keystore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/keystore"
)

// What Open says about a file that it cannot use.
func TestOpenRefuses(t *testing.T) {
	private := func(mode os.FileMode) func(t *testing.T, s *shelf) {
		return func(t *testing.T, s *shelf) { write(t, s.key, testdata(t, "good-sec1.pem"), mode) }
	}
	mounted := func(mode os.FileMode) func(t *testing.T, s *shelf) {
		return func(t *testing.T, s *shelf) {
			if err := os.Mkdir(filepath.Join(s.dir, "..data"), 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(s.dir, "..data", "key.pem"), testdata(t, "good-pkcs8.pem"), mode)
			if err := os.Symlink("..data/key.pem", s.key); err != nil {
				t.Fatal(err)
			}
		}
	}
	const (
		group = "holds a private key that is open to the group (mode %s), and whoever has it can command the vehicles; "
		all   = "holds a private key that is open to everybody on this machine (mode %s), and whoever has it can command the vehicles; "
		mount = "mount the public key instead, which is all that wellkey needs, or set defaultMode: 0400 on the Secret's volume and no fsGroup on the pod"
	)
	for _, test := range []struct {
		name string
		put  func(t *testing.T, s *shelf)
		want string // KEY is the path
	}{
		{"open to the group", private(0o640), fmt.Sprintf(group, "0640") + "run: chmod 600 KEY"},
		{"open to all", private(0o644), fmt.Sprintf(all, "0644") + "run: chmod 600 KEY"},
		{"read-only, open to all", private(0o444), fmt.Sprintf(all, "0444") + "run: chmod 400 KEY"},
		{"writable by all", private(0o602), fmt.Sprintf(all, "0602") + "run: chmod 600 KEY"},
		{"Secret", mounted(0o644), fmt.Sprintf(all, "0644") + mount},
		{"Secret with fsGroup", mounted(0o440), fmt.Sprintf(group, "0440") + mount},
		{"bad content", func(t *testing.T, s *shelf) { write(t, s.key, testdata(t, "bad-html.pem"), 0o600) },
			keystore.Refuse(keystore.ReasonHTML).Error()},
		{"endless", func(t *testing.T, s *shelf) { write(t, s.key, make([]byte, 1<<20), 0o600) },
			keystore.Refuse(keystore.ReasonTooLarge).Error()},
		{"directory", func(t *testing.T, s *shelf) {
			if err := os.Mkdir(s.key, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is a directory; Docker makes one where the file of a bind mount is missing on the host:" +
			" remove the directory there, put the key file in its place, and start again"},
		{"link in a circle", func(t *testing.T, s *shelf) {
			if err := os.Symlink("key.pem", s.key); err != nil {
				t.Fatal(err)
			}
		}, "cannot be read: open KEY: too many levels of symbolic links"},
	} {
		s := newShelf(t)
		test.put(t, s)
		store, err := keystore.Open(s.config())
		want := fmt.Sprintf("key file %q %s", s.key, strings.ReplaceAll(test.want, "KEY", s.key))
		if err == nil || err.Error() != want || store != nil {
			t.Errorf("%s:\n got %v\nwant %s", test.name, err, want)
		}
	}
}

func TestPathInFixIsQuoted(t *testing.T) {
	s := newShelf(t)
	s.key = filepath.Join(s.dir, "it's my key.pem")
	write(t, s.key, testdata(t, "good-sec1.pem"), 0o644)
	_, err := keystore.Open(s.config())
	if want := "run: chmod 600 '" + s.dir + `/it'\''s my key.pem'`; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want ... %s", err, want)
	}
}

func TestPublicKeyFileMayBeOpen(t *testing.T) {
	s := newShelf(t)
	write(t, s.key, testKey(t).PEM(), 0o666)
	if status := s.open(t).Status(); len(status.Warnings) > 0 {
		t.Errorf("got %v", status.Warnings)
	}
}

// Where a file system keeps no permissions, a refusal could never be heeded.
func TestFileSystemWithoutModes(t *testing.T) {
	s := newShelf(t)
	mount := filepath.Join(s.dir, "mount")
	if err := os.Mkdir(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(mount, "k"), testdata(t, "good-sec1.pem"), 0o755)
	if err := os.Symlink("mount/k", s.key); err != nil {
		t.Fatal(err)
	}
	var asked string
	store, err := keystore.OpenOn(s.config(), func(dir string) bool { asked = dir; return true })
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("the file system that holds the private key %q keeps no permissions, so whoever reaches it can read the key;"+
		" keep the private key elsewhere and give wellkey its public half", s.key)
	if got := store.Status(); store.Key() != testKey(t) || !got.Private || len(got.Warnings) != 1 || got.Warnings[0] != want {
		t.Errorf("got %v, %+v", store.Key(), got)
	}
	if real, err := filepath.EvalSymlinks(mount); err != nil || asked != real {
		t.Errorf("asked about %q, want %q (%v): the link may be on another file system", asked, real, err)
	}
}

func TestKeepsNoModes(t *testing.T) {
	dir := t.TempDir()
	if keystore.KeepsNoModes(dir) {
		t.Error("a file system with permissions is taken for one without")
	}
	if keystore.KeepsNoModes(filepath.Join(dir, "missing")) {
		t.Error("where nothing can be tried, the answer is yes")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
