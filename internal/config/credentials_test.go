package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wellkey/internal/config"
)

func TestLoadCredentials(t *testing.T) {
	for _, row := range []struct {
		name  string
		env   []string
		files map[string]string
		id    string
		key   string
	}{
		{"none", nil, nil, "", ""},
		{"both in the environment", []string{"WELLKEY_CLIENT_ID=i", "WELLKEY_CLIENT_SECRET=s"}, nil, "i", "s"},
		{"secret not written yet", []string{"WELLKEY_CLIENT_ID=i", "WELLKEY_CLIENT_SECRET_FILE=$DIR/s"}, nil, "", ""},
		{"secret file empty", []string{"WELLKEY_CLIENT_ID=i", "WELLKEY_CLIENT_SECRET_FILE=$DIR/s"}, map[string]string{"s": "\n"}, "", ""},
		{"id not written yet", []string{"WELLKEY_CLIENT_ID_FILE=$DIR/i", "WELLKEY_CLIENT_SECRET=s"}, nil, "", ""},
		{"LF", []string{"WELLKEY_CLIENT_ID_FILE=$DIR/i", "WELLKEY_CLIENT_SECRET_FILE=$DIR/s"}, map[string]string{"i": "i\n", "s": "s@%+^\n"}, "i", "s@%+^"},
		{"CRLF", []string{"WELLKEY_CLIENT_ID_FILE=$DIR/i", "WELLKEY_CLIENT_SECRET_FILE=$DIR/s"}, map[string]string{"i": "i\r\n", "s": "s\r\n"}, "i", "s"},
		{"credentials file", []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, map[string]string{"c": "client_id: i\nclient_secret: ta-secret.a@%+^b\n"}, "i", "ta-secret.a@%+^b"},
		{"credentials file not written yet", []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, nil, "", ""},
		{"credentials file empty", []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, map[string]string{"c": "# soon\n"}, "", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := must(t, inputs{env: append(row.env, "WELLKEY_DOMAIN=example.com"), files: row.files})
			id, key, err := config.LoadCredentials(s)
			if err != nil || id != row.id || key.Reveal() != row.key {
				t.Errorf("got %q, %q, %v", id, key.Reveal(), err)
			}
		})
	}
}

// TestOptions: where Home Assistant asks for the options, credentials belong there,
// unless a file is named for them.
func TestOptions(t *testing.T) {
	for _, row := range []struct {
		file string
		env  []string
		want bool
	}{
		{"data/options.json", nil, true},
		{"etc/options.json", nil, false},
		{"data/wellkey.yaml", nil, false},
		{"data/options.json", []string{"WELLKEY_CREDENTIALS_FILE=$DIR/c"}, false},
		{"data/options.json", []string{"WELLKEY_CLIENT_ID_FILE=$DIR/i", "WELLKEY_CLIENT_SECRET=s"}, false},
		{"data/options.json", []string{"WELLKEY_CLIENT_ID=i", "WELLKEY_CLIENT_SECRET_FILE=$DIR/s"}, false},
	} {
		path := filepath.Join(t.TempDir(), row.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, `{"domain": "example.com"}`)
		if got := must(t, inputs{args: []string{"--config=" + path}, env: row.env}).Application.Options; got != row.want {
			t.Errorf("%s with %q: got %t", row.file, row.env, got)
		}
	}
}

func TestCredentialsThatAppearLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials.yaml")
	s := must(t, inputs{env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_CREDENTIALS_FILE=" + path}})
	if d := cmp.Diff([]string{path}, s.Application.Files()); d != "" {
		t.Error(d)
	}
	write(t, path, "client_id: i\n")
	_, _, err := config.LoadCredentials(s)
	want := path + ": client_secret: is missing. Write the two lines client_id: ... and client_secret: ..."
	if err == nil || err.Error() != want {
		t.Errorf("half written: got %v, want %s", err, want)
	}
	write(t, path, "client_id: i\nclient_secret: s\n")
	id, key, err := config.LoadCredentials(s)
	if id != "i" || key.Reveal() != "s" || err != nil {
		t.Errorf("written: got %q, %q, %v", id, key.Reveal(), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if id, key, err := config.LoadCredentials(s); id != "" || !key.IsZero() || err != nil {
		t.Errorf("removed: got %q, %q, %v", id, key.Reveal(), err)
	}
}

// TestCredentialsAreSomebodyElsesMatter: whoever follows the files goes on with
// bad ones, and is told by LoadCredentials; faults of settings stay faults.
func TestCredentialsAreSomebodyElsesMatter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials.yaml")
	write(t, path, "client_id: i\nclient_secret: [\n")
	loader := config.New([]string{"WELLKEY_DOMAIN=example.com", "HOME=/home/user", "WELLKEY_CREDENTIALS_FILE=" + path})
	if _, err := loader.Load(); err == nil {
		t.Error("Load: got no error")
	}
	if _, err := loader.LoadFor("example.com"); err == nil {
		t.Error("LoadFor: got no error")
	}
	for name, load := range map[string]func() (*config.Settings, error){
		"LoadLive": loader.LoadLive, "LoadLiveFor": func() (*config.Settings, error) { return loader.LoadLiveFor("example.com") },
	} {
		s, err := load()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, _, err := config.LoadCredentials(s); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, want the fault in %s", name, err, path)
		}
	}
	for _, env := range [][]string{
		{"WELLKEY_CLIENT_ID=i"}, // without a secret
		{"WELLKEY_CLIENT_ID=a b", "WELLKEY_CLIENT_SECRET=s"},
		{"WELLKEY_PROBE_PORT=0"},
	} {
		if _, err := config.New(append(env, "WELLKEY_DOMAIN=example.com", "HOME=/home/user")).LoadLive(); err == nil {
			t.Errorf("%q: got no error", env)
		}
	}
}

func TestFilesToWatch(t *testing.T) {
	s := must(t, inputs{env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_CLIENT_ID_FILE=/i", "WELLKEY_CLIENT_SECRET_FILE=/s"}})
	if d := cmp.Diff([]string{"/i", "/s"}, s.Application.Files()); d != "" {
		t.Error(d)
	}
}

func TestWarnings(t *testing.T) {
	for _, row := range []struct {
		name string
		in   inputs
		want string
	}{
		{"tesla", inputs{args: []string{"--domain=mytesla.example.com"}}, `--domain: the name holds "tesla", which Tesla's portal refuses for new applications; those that have it keep it`},
		{"local name", inputs{args: []string{"--domain=ha.local"}}, "--domain: names under .local are not in the public DNS, so that Tesla cannot fetch the key"},
		{"acme without effect", inputs{args: []string{"--tls=off"}, yaml: "domain: example.com\nacme_email: a@example.com\n"}, "acme_email: has no effect, since tls is off"},
		{"region without effect", inputs{args: []string{"--regions=eu"}, env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_TESLA_API_URL_NA=https://a.example"}}, "WELLKEY_TESLA_API_URL_NA: has no effect, since regions does not name na"},
		{"open secret file", inputs{env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_CLIENT_ID=i", "WELLKEY_CLIENT_SECRET_FILE=$DIR/open"}}, `WELLKEY_CLIENT_SECRET_FILE: every user of the machine can read "$DIR/open": chmod 600 it`},
		{"open credentials file", inputs{args: []string{"--domain=example.com", "--credentials-file=$DIR/open.yaml"}}, `--credentials-file: every user of the machine can read "$DIR/open.yaml": chmod 600 it`},
		{"fallback without effect", inputs{yaml: "domain: example.com\nacme_fallback_after: 1h\n"}, "acme_fallback_after: has no effect, since acme_fallback_directory is not set"},
		{"fallback nobody trusts", inputs{yaml: "domain: example.com\nacme_fallback_directory: letsencrypt-staging\n"}, "acme_fallback_directory: is letsencrypt-staging, whose certificates neither Tesla nor phones trust: name an authority that they trust"},
		{"open HMAC key file", inputs{args: []string{"--domain=example.com", "--acme-eab-key-id=k", "--acme-eab-hmac-key-file=$DIR/open"}}, `--acme-eab-hmac-key-file: every user of the machine can read "$DIR/open": chmod 600 it`},
		{"open settings with a secret", inputs{args: []string{"--domain=example.com", "--config=$DIR/open.yaml"}}, "$DIR/open.yaml holds client_secret and every user of the machine can read it: chmod 600 it, or use client_secret_file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"open": "c2VjcmV0", "open.yaml": "client_id: i\nclient_secret: s\n"} {
				write(t, filepath.Join(dir, name), text)
				if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, list := range [][]string{row.in.args, row.in.env} {
				for i := range list {
					list[i] = strings.ReplaceAll(list[i], "$DIR", dir)
				}
			}
			s := must(t, row.in)
			if d := cmp.Diff([]string{strings.ReplaceAll(row.want, "$DIR", dir)}, s.Warnings); d != "" {
				t.Error(d)
			}
		})
	}
}

// systemd passes credentials on in a directory of its own; a setting wins over that.
func TestCredentialsOfSystemd(t *testing.T) {
	passed, named := t.TempDir(), filepath.Join(t.TempDir(), "named.yaml")
	env := []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_DATA_DIR=/data", "CREDENTIALS_DIRECTORY=" + passed}
	file := func(more ...string) string {
		t.Helper()
		return must(t, inputs{env: append(slices.Clone(env), more...)}).Application.CredentialsFile
	}
	if got := file(); got != "/data/credentials.yaml" {
		t.Errorf("systemd passes something else on: got %s", got)
	}
	path := filepath.Join(passed, "credentials.yaml")
	if err := os.WriteFile(path, []byte("#"), 0o400); err != nil {
		t.Fatal(err)
	}
	if got := must(t, inputs{env: env}).Application; got.CredentialsFile != path || !got.PassedOn {
		t.Errorf("got %s, passed on %v; want %s", got.CredentialsFile, got.PassedOn, path)
	}
	if got := file("WELLKEY_CREDENTIALS_FILE=" + named); got != named {
		t.Errorf("got %s, want the one that is set", got)
	}
	if got := file("WELLKEY_CLIENT_ID=7a1c2d3e-4f50-4a61-8b72-93c4d5e6f708", "WELLKEY_CLIENT_SECRET=x"); got != "" {
		t.Errorf("got %s beside credentials that are set", got)
	}
	if got := file("CREDENTIALS_DIRECTORY=relative"); got != "/data/credentials.yaml" {
		t.Errorf("got %s", got)
	}
}
