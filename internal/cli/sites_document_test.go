package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wellkey/internal/config"
	"wellkey/internal/testca"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// sitesDocument returns the code blocks of a language in docs/sites.md.
func sitesDocument(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/sites.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestSitesDocument: the files that docs/sites.md shows are what wellkey takes, and
// mean what it says.
func TestSitesDocument(t *testing.T) {
	dir := t.TempDir()
	here := func(text string) string {
		return strings.NewReplacer("/data", dir+"/data", "/etc/wellkey", dir+"/etc", "/run/secrets", dir+"/secrets").Replace(text)
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(dir+"/secrets/a.example.com", "secret-a\n")
	write(dir+"/secrets/b.example.com.yaml", "client_id: b\nclient_secret: secret-b\n")
	blocks := sitesDocument(t, "yaml")
	if len(blocks) != 3 {
		t.Fatalf("%d examples, want the directory, a file in it, and the list", len(blocks))
	}
	for i, want := range [][]string{{"settings"}, {"a.example.com eu 7a1c2d3e-4f50-4a61-8b72-93c4d5e6f708"}, {"a.example.com na,eu ", "b.example.com eu b"}} {
		path, _, _ := strings.Cut(strings.TrimPrefix(here(blocks[i]), "# "), "\n")
		write(path, here(blocks[i]))
		if i == 0 {
			continue
		}
		s, err := config.New([]string{"WELLKEY_DATA_DIR=" + dir + "/data", "WELLKEY_CONFIG=" + dir + "/etc/wellkey.yaml"}).LoadAll(false)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for site, err := range s.Sites() {
			if err != nil {
				t.Error(err)
				continue
			}
			id, _, err := site.Application.Load()
			if err != nil {
				t.Error(err)
			}
			var regions []string
			for _, r := range site.Regions {
				regions = append(regions, string(r))
			}
			got = append(got, site.Domain+" "+strings.Join(regions, ",")+" "+id)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("example %d: got %q, want %q", i, got, want)
		}
	}
}

// TestFromOneDomainToSeveral runs the commands of docs/sites.md on a wellkey with a
// registered key: it serves and registers the same one afterwards, and asks for
// nothing new. Without the copy no other key is made, and the former is pointed at.
func TestFromOneDomainToSeveral(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withFiles)
	if err := w.SignFiles(testca.LeafOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteCredentials(); err != nil {
		t.Fatal(err)
	}
	r := w.run()
	w.awaitRegistered()
	r.Stop()
	key := keyIn(t, w.DataDir+"/key.pem")

	// The copy is forgotten.
	s := &several{w, filepath.Join(w.DataDir, "sites")}
	environ := append(w.Environ("DOMAIN", "CREDENTIALS_FILE", "SITES_DIR="+s.dir), "HOME="+w.dir)
	if got := w.command(environ, "sites", "add", w.Domain); got.code != 1 ||
		!strings.Contains(squeezed(got.errors), "the key in "+w.DataDir+"/key.pem is the one that Tesla has for "+w.Domain) || !strings.Contains(got.errors, "Nothing was written") {
		t.Errorf("without a copy: %+v", got)
	}
	blocks := sitesDocument(t, "sh")
	script := strings.NewReplacer("/data/credentials.yaml", w.dir+"/credentials.yaml", "/data", w.DataDir, "example.com", w.Domain).Replace(blocks[len(blocks)-1])
	if out, err := exec.Command("sh", "-e", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v: %s", script, err, out)
	}
	t.Cleanup(func() { _ = os.RemoveAll(s.dir) }) // the copies are meant to hold secrets, which the canary does not know
	registered := w.Tesla.Count(fleetapi.OpRegister)
	s.serve()
	s.awaitState(w.Domain, registrar.Registered)
	if s.keyOf(w.Domain) != key {
		t.Error("another key is served")
	}
	if account, _ := w.Tesla.Account(fleetapi.EU, w.Domain); account.PublicKey != key.Hex() {
		t.Errorf("Tesla has %+v", account)
	}
	if n := w.Tesla.Count(fleetapi.OpRegister); n != registered {
		t.Errorf("%d registrations more", n-registered)
	}
}

func keyIn(t *testing.T, path string) keystore.Key {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := keystore.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Key
}

func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }
