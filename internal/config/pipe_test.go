package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/config"
)

// pipeFix ends what is said of a pipe in the place of a file.
const pipeFix = ` is a pipe, a socket or a device. Put a regular file in its place, or name one: a wellkey that serves reads it again and again, and must wait for nobody`

// pipe puts a named pipe to which nobody writes in the place of a file.
func pipe(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// atOnce returns the error of what must not wait for a writer of the pipe at path.
func atOnce(t *testing.T, path string, f func() error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- f() }()
	select {
	case err := <-result:
		return err
	case <-time.After(time.Minute): // only a test that fails waits
	}
	if w, err := os.OpenFile(path, os.O_RDWR, 0); err == nil { // whoever waits goes on
		_ = w.Close()
	}
	t.Fatalf("who reads %s waits for a writer", path)
	return nil
}

// TestPipeInThePlaceOfAFile: what is followed while wellkey runs is a regular file, or
// the look at it is at its end at once.
func TestPipeInThePlaceOfAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("sites"), 0o700); err != nil {
		t.Fatal(err)
	}
	live := func(env ...string) func() error {
		return func() error {
			s, err := config.New(append(env, "WELLKEY_DOMAIN=example.com", "WELLKEY_DATA_DIR="+dir)).LoadLive()
			if err == nil {
				_, _, err = config.LoadCredentials(s)
			}
			return err
		}
	}
	site := func() error {
		s, err := config.New([]string{"WELLKEY_SITES_DIR=" + at("sites"), "WELLKEY_DATA_DIR=" + dir}).LoadAll(true)
		if err == nil {
			_, err = s.FindSite("a.example.com")
		}
		return err
	}
	for path, row := range map[string]struct {
		look   func() error
		before string
	}{
		at("credentials.yaml"):         {live("WELLKEY_CREDENTIALS_FILE=" + at("credentials.yaml")), "WELLKEY_CREDENTIALS_FILE: "},
		at("id"):                       {live("WELLKEY_CLIENT_SECRET=s", "WELLKEY_CLIENT_ID_FILE="+at("id")), "WELLKEY_CLIENT_ID_FILE: "},
		at("secret"):                   {live("WELLKEY_CLIENT_ID=i", "WELLKEY_CLIENT_SECRET_FILE="+at("secret")), "WELLKEY_CLIENT_SECRET_FILE: "},
		at("web.yaml"):                 {live("WELLKEY_ADMIN_WEB_CONFIG=" + at("web.yaml")), "WELLKEY_ADMIN_WEB_CONFIG: "},
		at("sites/a.example.com.yaml"): {site, `site "a.example.com": `},
	} {
		pipe(t, path)
		if err, want := atOnce(t, path, row.look), row.before+fmt.Sprintf("%q", path)+pipeFix; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestPipeAtTheStart: a shell gives a pipe for <(...), and that is read; but only once.
func TestPipeAtTheStart(t *testing.T) {
	t.Parallel()
	path, secret := filepath.Join(t.TempDir(), "wellkey.yaml"), filepath.Join(t.TempDir(), "secret")
	pipe(t, path)
	pipe(t, secret)
	loader := config.New([]string{"WELLKEY_CONFIG=" + path, "WELLKEY_DATA_DIR=" + t.TempDir()})
	written := make(chan error, 2)
	for path, text := range map[string]string{path: "sites: [a.example.com]\nacme_eab_key_id: k\nacme_eab_hmac_key_file: " + secret + "\n", secret: strings.Repeat("QUFB", 8) + "\n"} {
		go func() { written <- os.WriteFile(path, []byte(text), 0o600) }()
	}
	if s, err := loader.LoadAll(true); err != nil || s.Listed() != 1 || s.ACME.EABHMACKey.IsZero() {
		t.Fatalf("got %+v, %v", s, err)
	}
	if err := errors.Join(<-written, <-written); err != nil {
		t.Fatal(err)
	}
	again := func() error { _, err := loader.LoadAll(true); return err }
	if err, want := atOnce(t, path, again), fmt.Sprintf("WELLKEY_CONFIG: %q", path)+pipeFix; err == nil || err.Error() != want {
		t.Errorf("again: got %v, want %s", err, want)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, "domain: example.com\nacme_eab_key_id: k\nacme_eab_hmac_key_file: "+secret+"\n")
	if err, want := atOnce(t, secret, again), fmt.Sprintf("acme_eab_hmac_key_file: %q", secret)+pipeFix; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("the secret again: got %v, want %s", err, want)
	}
}
