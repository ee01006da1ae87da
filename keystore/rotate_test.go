package keystore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wellkey/keystore"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// rotation returns a Rotation on the files of s.
func (s *shelf) rotation(t *testing.T) *keystore.Rotation {
	t.Helper()
	r, err := keystore.NewRotation(keystore.RotationConfig{
		Path: s.key, RestoredPath: s.restored,
		StagedPath: filepath.Join(s.dir, "staged-key.pem"), ArchiveDir: filepath.Join(s.dir, "archive"),
		Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// stocks are the places a current key can be in.
var stocks = map[string]func(*testing.T, *shelf) (keystore.Key, string){
	"private": func(t *testing.T, s *shelf) (keystore.Key, string) {
		key, err := s.open(t).Generate()
		if err != nil {
			t.Fatal(err)
		}
		return key, fileText(t, s.key)
	},
	"public": func(t *testing.T, s *shelf) (keystore.Key, string) {
		write(t, s.key, testKey(t).PEM(), 0o644)
		return testKey(t), fileText(t, s.key)
	},
	"restored": func(t *testing.T, s *shelf) (keystore.Key, string) {
		if err := s.open(t).Restore(testKey(t)); err != nil {
			t.Fatal(err)
		}
		return testKey(t), fileText(t, s.restored)
	},
	"behind a link": func(t *testing.T, s *shelf) (keystore.Key, string) {
		write(t, filepath.Join(s.dir, "real.pem"), testKey(t).PEM(), 0o644)
		if err := os.Symlink("real.pem", s.key); err != nil {
			t.Fatal(err)
		}
		return testKey(t), fileText(t, s.key)
	},
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// everything is the content of all files below dir.
func everything(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			all.WriteString(fileText(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestRotationSurvivesEveryCrash cuts a rotation off before each of its steps,
// goes on with it, rolls it back, and cuts that off before each of its steps.
func TestRotationSurvivesEveryCrash(t *testing.T) {
	power := errors.New("power failed")
	for name, stock := range stocks {
		t.Run(name, func(t *testing.T) {
			for crash := 1; ; crash++ {
				s := newShelf(t)
				old, oldFile := stock(t, s)
				fresh, err := s.rotation(t).Stage()
				if err != nil {
					t.Fatal(err)
				}
				newFile := fileText(t, filepath.Join(s.dir, "staged-key.pem"))
				recorded := keystore.Key{}
				record := func(former keystore.Key) error { recorded = former; return nil }
				whole := func() {
					t.Helper()
					if all := everything(t, s.dir); !strings.Contains(all, oldFile) || !strings.Contains(all, newFile) {
						t.Fatalf("crash %d: a key is lost", crash)
					}
				}

				r := s.rotation(t)
				keystore.CrashAt(r, crash, power)
				err = r.Publish(record)
				done := err == nil
				if !done && !errors.Is(err, power) {
					t.Fatal(err)
				}
				whole()
				hosted := s.open(t).Key()
				if hosted != old && hosted != fresh {
					t.Fatalf("crash %d: %v is hosted", crash, hosted)
				}
				if hosted == fresh && recorded != old {
					t.Fatalf("crash %d: the new key is hosted before it was recorded what gives way", crash)
				}
				if !done {
					if err := s.rotation(t).Publish(record); err != nil {
						t.Fatalf("crash %d: going on: %v", crash, err)
					}
				}
				whole()
				wantPublished(t, s, fresh, recorded, old)

				r = s.rotation(t)
				keystore.CrashAt(r, crash, power)
				if err := r.PutBack(old.Fingerprint()); err != nil && !errors.Is(err, power) {
					t.Fatal(err)
				}
				whole()
				if err := s.rotation(t).PutBack(old.Fingerprint()); err != nil {
					t.Fatal(err)
				}
				whole()
				if got := fileText(t, s.key); got != oldFile {
					t.Errorf("crash %d: rolled back to %q, want %q", crash, got, oldFile)
				}
				if done {
					break
				}
			}
		})
	}
}

func wantPublished(t *testing.T, s *shelf, fresh, recorded, old keystore.Key) {
	t.Helper()
	if store := s.open(t); store.Key() != fresh || recorded != old || len(store.Status().Warnings) > 0 {
		t.Errorf("hosted %v in place of %v, want %v and %v; %+v", store.Key(), recorded, fresh, old, store.Status())
	}
	if info, err := os.Stat(s.key); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key file: %v, %v", info.Mode(), err)
	}
	for _, gone := range []string{s.restored, filepath.Join(s.dir, "staged-key.pem")} {
		if exists(t, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	archived := filepath.Join(s.dir, "archive", "20261124T120000Z-"+old.Fingerprint()[:12]+".pem")
	if info, err := os.Stat(archived); err != nil || info.Mode() != 0o600 {
		t.Errorf("the archive: %v", err)
	}
	got, err := s.rotation(t).Archived(old.Fingerprint())
	if err != nil || got.Key != old || got.Path != archived {
		t.Errorf("Archived: %+v, %v", got, err)
	}
}

// A running Store follows a rotation and has nothing left to say after it.
func TestStoreFollowsRotation(t *testing.T) {
	s := newShelf(t)
	store := s.open(t)
	if err := store.Restore(testKey(t)); err != nil {
		t.Fatal(err)
	}
	r := s.rotation(t)
	fresh, err := r.Stage()
	if err != nil {
		t.Fatal(err)
	}
	keystore.CrashAt(r, 4, errors.New("crash")) // after the key file, before the restored one
	if err := r.Publish(func(keystore.Key) error { return nil }); err == nil {
		t.Fatal("no crash")
	}
	look := func() keystore.Status {
		t.Helper()
		if err := keystore.Look(store); err != nil {
			t.Fatal(err)
		}
		return store.Status()
	}
	if status := look(); store.Key() != fresh || len(status.Warnings) != 1 {
		t.Errorf("in between: %v, %+v, want a warning about the restored file", store.Key(), status)
	}
	if err := s.rotation(t).Publish(nil); err != nil {
		t.Fatal(err)
	}
	if status := look(); store.Key() != fresh || len(status.Warnings) > 0 || status.Origin != keystore.OriginFile {
		t.Errorf("at the end: %v, %+v", store.Key(), status)
	}
}

func TestStage(t *testing.T) {
	s := newShelf(t)
	r := s.rotation(t)
	if staged, err := r.Staged(); err != nil || staged != (keystore.Stored{}) {
		t.Errorf("nothing staged: %+v, %v", staged, err)
	}
	key, err := r.Stage()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "staged-key.pem")
	wantSEC1(t, path, key)
	if info, _ := os.Stat(path); info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if staged, err := r.Staged(); err != nil || staged != (keystore.Stored{Key: key, Private: true, Path: path}) {
		t.Errorf("got %+v, %v", staged, err)
	}
	if _, err := r.Stage(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	wantSEC1(t, path, key)
	if exists(t, s.key) {
		t.Error("staging made a key file")
	}
}

func TestStageFile(t *testing.T) {
	private := string(testdata(t, "good-sec1.pem"))
	public := string(testKey(t).PEM())
	other := string(otherKey(t).PEM())
	for _, test := range []struct {
		name, current, given, want string
		mode                       fs.FileMode
		failure                    string
	}{
		{name: "private in place of private", current: "generate", given: private, mode: 0o600, want: private},
		{name: "private in place of public", current: other, given: private, mode: 0o600, want: public},
		{name: "public in place of public", current: other, given: "\n" + public, mode: 0o644, want: public},
		{name: "private in place of none", given: private, mode: 0o600, want: private},
		{name: "the same", current: public, given: private, mode: 0o600,
			failure: `staging a key: "$DIR/given.pem" holds the key that is in use already`},
		{name: "bad", current: other, given: "<html>", mode: 0o600, failure: `staging a key: key file "$DIR/given.pem" holds a web page, not a key`},
		{name: "exposed", current: other, given: private, mode: 0o644, failure: `staging a key: key file "$DIR/given.pem" holds a private key that is open to everybody`},
	} {
		s := newShelf(t)
		switch test.current {
		case "":
		case "generate":
			if _, err := s.open(t).Generate(); err != nil {
				t.Fatal(err)
			}
		default:
			write(t, s.key, []byte(test.current), 0o644)
		}
		given, staged := filepath.Join(s.dir, "given.pem"), filepath.Join(s.dir, "staged-key.pem")
		write(t, given, []byte(test.given), test.mode)
		key, err := s.rotation(t).StageFile(given)
		if test.failure != "" {
			if want := strings.ReplaceAll(test.failure, "$DIR", s.dir); err == nil || !strings.HasPrefix(err.Error(), want) || exists(t, staged) {
				t.Errorf("%s: got %v, want %s", test.name, err, want)
			}
			continue
		}
		if err != nil || key != testKey(t) || fileText(t, staged) != test.want || fileText(t, given) != test.given {
			t.Errorf("%s: %v, %v, staged %q", test.name, key, err, fileText(t, staged))
		}
	}
}

func TestUnstage(t *testing.T) {
	s := newShelf(t)
	r := s.rotation(t)
	if archived, err := r.Unstage(); archived != "" || err != nil {
		t.Errorf("nothing staged: %q, %v", archived, err)
	}
	key, err := r.Stage()
	if err != nil {
		t.Fatal(err)
	}
	file := fileText(t, filepath.Join(s.dir, "staged-key.pem"))
	for crash := range 3 {
		r := s.rotation(t)
		keystore.CrashAt(r, crash+1, errors.New("crash"))
		_, err := r.Unstage()
		if all := everything(t, s.dir); !strings.Contains(all, file) || (err == nil) != (crash == 2) {
			t.Errorf("crash %d: %v", crash, err)
		}
	}
	stored, err := r.Archived(key.Fingerprint())
	if err != nil || fileText(t, stored.Path) != file || exists(t, filepath.Join(s.dir, "staged-key.pem")) {
		t.Errorf("archived %+v, %v", stored, err)
	}
}

func TestArchivePrefersThePrivateHalf(t *testing.T) {
	s := newShelf(t)
	archive := filepath.Join(s.dir, "archive")
	if err := os.Mkdir(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	suffix := "-" + testFingerprint[:12] + ".pem"
	for name, data := range map[string][]byte{
		"1": testdata(t, "good-spki.pem"), "2": testdata(t, "good-pkcs8.pem"), "3": testdata(t, "good-sec1.pem"),
		"4": testdata(t, "good-spki.pem"), "5": []byte("damaged"), "6": otherKey(t).PEM(),
	} {
		write(t, filepath.Join(archive, name+suffix), data, 0o600)
	}
	got, err := s.rotation(t).Archived(testFingerprint)
	if err != nil || filepath.Base(got.Path) != "3"+suffix || !got.Private {
		t.Errorf("got %+v, %v, want the newest with its private half", got, err)
	}
	_, err = s.rotation(t).Archived(strings.Repeat("0", 64))
	if want := "key " + strings.Repeat("0", 64) + ` is not in the archive "` + archive + `": file does not exist`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPublishRefuses(t *testing.T) {
	quiet := func(keystore.Key) error { return nil }
	stage := func(t *testing.T, s *shelf) {
		t.Helper()
		if _, err := s.rotation(t).Stage(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("nothing staged", func(t *testing.T) {
		s := newShelf(t)
		if err := s.rotation(t).Publish(quiet); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nothing to replace", func(t *testing.T) {
		s := newShelf(t)
		stage(t, s)
		err := s.rotation(t).Publish(quiet)
		if want := "publishing the staged key: there is no key that it could replace"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("not recorded", func(t *testing.T) {
		s := newShelf(t)
		write(t, s.key, testKey(t).PEM(), 0o644)
		stage(t, s)
		full := errors.New("disk is full")
		if err := s.rotation(t).Publish(func(keystore.Key) error { return full }); !errors.Is(err, full) || s.open(t).Key() != testKey(t) {
			t.Errorf("got %v, hosted %v", err, s.open(t).Key())
		}
	})
	t.Run("changed meanwhile", func(t *testing.T) {
		s := newShelf(t)
		write(t, s.key, testKey(t).PEM(), 0o644)
		stage(t, s)
		err := s.rotation(t).Publish(func(keystore.Key) error { write(t, s.key, otherKey(t).PEM(), 0o644); return nil })
		want := `publishing the staged key: key file "` + s.key + `" changed meanwhile; look at it, and start again`
		if err == nil || err.Error() != want || s.open(t).Key() != otherKey(t) {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("bad key file", func(t *testing.T) {
		s := newShelf(t)
		write(t, s.key, []byte("<html>"), 0o644)
		stage(t, s)
		err := s.rotation(t).Publish(quiet)
		if want := `publishing the staged key: key file "` + s.key + `" holds a web page`; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("a mount by itself", func(t *testing.T) {
		s := newShelf(t)
		err := keystore.Explain(s.rotation(t), &os.PathError{Op: "rename", Path: s.key, Err: syscall.EBUSY})
		if err == nil || !strings.Contains(err.Error(), "put the key of") || !strings.Contains(err.Error(), "staged-key.pem") {
			t.Errorf("got %v", err)
		}
	})
}

// TestPublishLosesNoOtherKey has a key where a rotation cleans up that is the
// last copy: of what was put into the restored file, or of the private half that
// waits while a mount got the public one only.
func TestPublishLosesNoOtherKey(t *testing.T) {
	quiet := func(keystore.Key) error { return nil }
	private := func(t *testing.T) string {
		t.Helper()
		elsewhere := newShelf(t)
		if _, err := elsewhere.open(t).Generate(); err != nil {
			t.Fatal(err)
		}
		return fileText(t, elsewhere.key)
	}
	for name, text := range map[string]string{
		"private": private(t), "public": string(otherKey(t).PEM()), "unreadable": "-----BEGIN EC PRIVATE KEY-----\nAAAA\n",
	} {
		t.Run("a restored file that is "+name, func(t *testing.T) {
			s := newShelf(t)
			write(t, s.key, testKey(t).PEM(), 0o644)
			write(t, s.restored, []byte(text), 0o600)
			if _, err := s.rotation(t).Stage(); err != nil {
				t.Fatal(err)
			}
			if err := s.rotation(t).Publish(quiet); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(everything(t, s.dir), text) {
				t.Error("it was deleted, and no copy is left")
			}
		})
	}
	t.Run("a mount that got the public half", func(t *testing.T) {
		s := newShelf(t)
		write(t, s.key, testKey(t).PEM(), 0o644)
		fresh, err := s.rotation(t).Stage()
		if err != nil {
			t.Fatal(err)
		}
		staged := fileText(t, filepath.Join(s.dir, "staged-key.pem"))
		write(t, s.key, fresh.PEM(), 0o644) // as the error of a read-only mount says
		if err := s.rotation(t).Publish(quiet); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(everything(t, s.dir), staged) {
			t.Error("the private half of the new key is lost")
		}
		if stored, err := s.rotation(t).Archived(fresh.Fingerprint()); err != nil || !stored.Private {
			t.Errorf("the archive has %+v (%v), want the private half", stored, err)
		}
	})
	t.Run("a lost key file whose key still waits", func(t *testing.T) {
		s := newShelf(t)
		fresh, err := s.rotation(t).Stage()
		if err != nil {
			t.Fatal(err)
		}
		staged := fileText(t, filepath.Join(s.dir, "staged-key.pem"))
		if err := s.open(t).Restore(fresh); err != nil {
			t.Fatal(err)
		}
		if err := s.rotation(t).Publish(func(keystore.Key) error { return errors.New("nothing gives way") }); err != nil {
			t.Fatal(err)
		}
		if got := fileText(t, s.key); got != staged || s.open(t).Key() != fresh {
			t.Error("the private half is not back in the key file")
		}
	})
}

func TestPutBackNeedsTheArchive(t *testing.T) {
	s := newShelf(t)
	write(t, s.key, testKey(t).PEM(), 0o644)
	if err := s.rotation(t).PutBack(otherKey(t).Fingerprint()); !errors.Is(err, fs.ErrNotExist) || !bytes.Equal(testKey(t).PEM(), []byte(fileText(t, s.key))) {
		t.Errorf("got %v", err)
	}
	if err := s.rotation(t).PutBack(testFingerprint); err != nil {
		t.Errorf("back to what is there: %v", err)
	}
}

// TestArchivedOfADamagedRecord asks for a fingerprint that is cut off.
func TestArchivedOfADamagedRecord(t *testing.T) {
	s := newShelf(t)
	if _, err := s.rotation(t).Stage(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.rotation(t).Unstage(); err != nil {
		t.Fatal(err)
	}
	for _, fingerprint := range []string{"", "5a0e"} {
		if _, err := s.rotation(t).Archived(fingerprint); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: got %v", fingerprint, err)
		}
	}
}

func TestNewRotation(t *testing.T) {
	for _, c := range []keystore.RotationConfig{
		{}, {Path: "a", StagedPath: "a", ArchiveDir: "b"}, {Path: "a", StagedPath: "b"}, {Path: "a", ArchiveDir: "b"},
	} {
		if _, err := keystore.NewRotation(c); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}
