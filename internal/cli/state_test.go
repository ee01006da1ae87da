package cli_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wellkey/internal/admin"
	"wellkey/registrar"
)

// goesOn checks that a wellkey which starts now goes on where one was stopped that
// was registered: the same key and certificate, no order, no question to Tesla, and
// nothing in quarantine.
func (w *world) goesOn(stop func() (before admin.Status)) {
	w.t.Helper()
	before := stop()
	orders, requests := w.CA.Orders(), len(w.Tesla.Requests())
	run := w.run()
	now := w.await("registered, looked at, and no order due", func(s admin.Status) bool {
		site := s.Sites[0]
		return site.Registrations[0].State == registrar.Registered && site.Registrations[1].State == registrar.Registered &&
			site.Reachability != nil && !site.Certificate.NextAttempt.IsZero()
	}).Sites[0]
	if was := before.Sites[0]; now.Key.Fingerprint != was.Key.Fingerprint || now.Certificate.Serial != was.Certificate.Serial {
		w.t.Errorf("it goes on with key %s and certificate %s, not with %s and %s", now.Key.Fingerprint, now.Certificate.Serial, was.Key.Fingerprint, was.Certificate.Serial)
	}
	run.Stop()
	if n := w.CA.Orders(); n != orders {
		w.t.Errorf("%d orders before and %d after", orders, n)
	}
	if n := len(w.Tesla.Requests()); n != requests {
		w.t.Errorf("%d requests to Tesla before and %d after", requests, n)
	}
	if _, err := os.Stat(filepath.Join(w.DataDir, "state/quarantine")); err == nil {
		w.t.Error("something was moved to quarantine")
	}
}

// TestBackup runs the commands of docs/operating.md: a backup made while wellkey
// runs, put back over what is left of the directory, goes on where it was made.
func TestBackup(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	copied := filepath.Join(t.TempDir(), "wellkey-backup.tar.gz")
	doc, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	shell := func(pattern string) {
		t.Helper()
		command := regexp.MustCompile(`(?m)^tar .*` + pattern + `.*$`).FindString(string(doc))
		if command == "" {
			t.Fatalf("docs/operating.md has no tar with %s", pattern)
		}
		for _, change := range [][2]string{
			{"/var/lib/private", filepath.Dir(w.DataDir)}, {"wellkey-backup.tar.gz wellkey", copied + " " + filepath.Base(w.DataDir)}, {"=wellkey/", "=" + filepath.Base(w.DataDir) + "/"},
		} {
			command = strings.ReplaceAll(command, change[0], change[1])
		}
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	w.goesOn(func() admin.Status {
		run := w.run()
		before := w.awaitRegistered()
		shell("-czpf")
		run.Stop()
		// A disk that was replaced has nothing; one that was restored too late has more.
		if err := os.Remove(w.keyFile()); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(w.DataDir, "state/registrations")); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(w.DataDir, "state/registrations/of.a.later.day"), 0o700); err != nil {
			t.Fatal(err)
		}
		shell("-xzpf")
		if _, err := os.Stat(filepath.Join(w.DataDir, "state/registrations/of.a.later.day")); err == nil {
			t.Error("what was there before the restore is there still")
		}
		if _, err := os.Stat(filepath.Join(w.DataDir, "state/locks")); err == nil {
			t.Error("the locks are in the backup")
		}
		return before
	})
}

// TestStateOfTheNextVersion: fields are only added to what is stored, and a version
// ignores those that it does not know, so that a step back costs nothing. Here every
// object in every file has one more.
func TestStateOfTheNextVersion(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	w.goesOn(func() admin.Status {
		run := w.run()
		before := w.awaitRegistered()
		run.Stop()
		changed := 0
		err := filepath.WalkDir(filepath.Join(w.DataDir, "state"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var document map[string]any
			if json.Unmarshal(text, &document) != nil {
				return nil // a key or a certificate
			}
			changed++
			text, err = json.Marshal(extended(document))
			if err != nil {
				return err
			}
			return os.WriteFile(path, text, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
		if changed < 5 {
			t.Fatalf("only %d files were changed, want those of two regions, the certificate, the account and the budget", changed)
		}
		return before
	})
}

// extended returns v with a field more in each object.
func extended(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			v[name] = extended(value)
		}
		v["of_the_next_version"] = map[string]any{"at": "2027-01-01T00:00:00Z", "list": []any{1, "two"}}
	case []any:
		for i := range v {
			v[i] = extended(v[i])
		}
	}
	return v
}
