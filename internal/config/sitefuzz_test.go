package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/internal/config"
)

// FuzzSiteFile reads files of a site as anybody may write them: nothing panics, a
// good one is a site of the domain in its name, and no fault shows a value. The
// values are a word that is put where the file has SECRET, as long as none of the
// names that may be shown holds it.
func FuzzSiteFile(f *testing.F) {
	for _, text := range []string{
		"", "\n", "regions: eu\n", "client_id: i\nclient_secret: SECRET\n", "client_secret: [SECRET]\n", "client_secret: {SECRET: x}\n",
		"client_secret: *SECRET\n", "client_secret: &SECRET x\n", "client_secret: !SECRET x\n", "client_secret: 'SECRET\n", "client_secret=SECRET\n",
		"client_id: ta-secret.SECRET\nclient_secret: x\n", "client_secret: \"SECRET \"\nclient_id: i\n", "client_secret: |\n  SECRET\n  more\n", "domain: b.example.com\n",
		"http_addr: :80\n", "regions: [na, [eu]]\n", "- client_secret: SECRET\n", "client_secret: SECRET\nclient_secret: SECRET\n", "--- \n---\nclient_secret: SECRET\n",
		"<<: {client_secret: SECRET}\n", "? [SECRET]\n: x\n", "client_secret: <<SECRET\n%SECRET\n", "\xff\xfe", "key_file: \"a\\0b\"\n", "SECRET",
	} {
		f.Add(text)
	}
	dir := f.TempDir()
	environ := []string{"WELLKEY_DATA_DIR=" + filepath.Join(dir, "data"), "WELLKEY_SITES_DIR=" + dir}
	f.Fuzz(func(t *testing.T, text string) {
		const domain = "a.example.com"
		text = strings.ReplaceAll(text, "SECRET", canary)
		s, err := config.New(environ).LoadAll(true)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.SiteFile(domain), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		count := 0
		for site, err := range s.Sites() {
			count++
			found, again := s.FindSite(domain)
			if (err == nil) != (again == nil) {
				t.Fatalf("one says %v, the other %v", err, again)
			}
			if err == nil {
				if site.Domain != domain || found.Domain != domain || len(site.Regions) == 0 || site.KeyFile == "" {
					t.Errorf("a good file is %+v", site)
				}
				continue
			}
			if err.Error() == "" || strings.Contains(err.Error(), "%!") {
				t.Errorf("the fault is %q", err)
			}
			if secretOnly(text) && strings.Contains(err.Error(), canary) {
				t.Errorf("a fault shows a value: %v", err)
			}
		}
		if count != 1 {
			t.Errorf("one file is %d sites", count)
		}
	})
}

// secretOnly reports whether the canary stands only behind client_secret in a text,
// or in a client id that looks like a secret: a path or a region may be shown.
func secretOnly(text string) bool {
	for line := range strings.SplitSeq(text, "\n") {
		at := strings.Index(line, canary)
		if at >= 0 && !strings.HasPrefix(line, "client_secret: ") && !strings.HasPrefix(line, "client_id: ta-secret.") {
			return false
		}
	}
	return true
}
