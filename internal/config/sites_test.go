package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/internal/config"
)

// loadAll loads the settings of a daemon whose file is text, in a directory with
// files, in which $DIR stands for it.
func loadAll(t *testing.T, text string, files map[string]string) (*config.Settings, string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, strings.ReplaceAll(text, "$DIR", dir))
	}
	write(t, filepath.Join(dir, "wellkey.yaml"), strings.ReplaceAll(text, "$DIR", dir))
	settings, err := config.New([]string{"WELLKEY_DATA_DIR=" + dir + "/data", "WELLKEY_CONFIG=" + dir + "/wellkey.yaml"}).LoadAll(false)
	return settings, dir, err
}

// sitesOf returns the sites in one line each, and what is wrong with the others.
func sitesOf(s *config.Settings, dir string) (good, bad []string) {
	for site, err := range s.Sites() {
		if err != nil {
			bad = append(bad, strings.ReplaceAll(err.Error(), dir, "$DIR"))
			continue
		}
		good = append(good, strings.ReplaceAll(fmt.Sprintln(site.Domain, site.Regions, site.KeyFile, site.Application.ClientID, site.Application.CredentialsFile), dir, "$DIR"))
	}
	return good, bad
}

func equalLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	for i := range got {
		got[i] = strings.TrimSpace(got[i])
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSites(t *testing.T) {
	s, dir, err := loadAll(t, `
regions: eu
sites_dir: $DIR/sites
sites:
  - a.example.com
  - domain: b.example.com
    regions: [na, eu]
    key_file: /keys/b.pem
    client_id: b-id
    client_secret_file: $DIR/b-secret
  - domain: https://c.example.com
  - domain: d.example.com
    http_addr: :80
    client_secret_file: [x]
`, map[string]string{
		"b-secret":                    "s",
		"sites/e.example.com.yaml":    "",
		"sites/f.example.com.yaml":    "domain: g.example.com\n",
		"sites/a.example.com.yaml":    "regions: na\n",
		"sites/.h.example.com.yaml":   "half",
		"sites/README":                "no site",
		"sites/Big.example.com.yaml":  "",
		"sites/bad.example.com.yaml":  "regions: [na\n",
		"sites/cred.example.com.yaml": "credentials_file: $DIR/cred\n",
		"cred":                        "client_id: x\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	good, bad := sitesOf(s, dir)
	equalLines(t, "sites", good, []string{
		"a.example.com [eu] $DIR/data/sites/a.example.com/key.pem  $DIR/data/sites/a.example.com/credentials.yaml",
		"b.example.com [na eu] /keys/b.pem b-id",
		"e.example.com [eu] $DIR/data/sites/e.example.com/key.pem  $DIR/data/sites/e.example.com/credentials.yaml",
	})
	const fix = "Write one setting a line, without indentation, a space behind the colon, and quotes around a value that holds any of : { } [ ] * & ! # % @"
	equalLines(t, "faults", bad, []string{
		`site "https://c.example.com": $DIR/wellkey.yaml:11: domain: "https://c.example.com" has a scheme. Write c.example.com`,
		`site "d.example.com": $DIR/wellkey.yaml:13: http_addr: is a setting of the process, not of one site. Write it where the other settings of the process are`,
		`$DIR/wellkey.yaml:14: client_secret_file: is a list, but must be one value. Write it as in client_secret_file: /run/secrets/client_secret`,
		`site "Big.example.com": $DIR/sites/Big.example.com.yaml: domain: "Big.example.com" has upper-case letters. Write big.example.com`,
		`site "a.example.com": another site has this domain already. Remove one of the two`,
		`site "bad.example.com": $DIR/sites/bad.example.com.yaml:1: is not valid YAML near this line. ` + fix,
		`site "cred.example.com": $DIR/cred: client_secret: is missing. Write the two lines client_id: ... and client_secret: ...`,
		`site "f.example.com": $DIR/sites/f.example.com.yaml:1: domain: "g.example.com" is not the name of the file, which is "f.example.com.yaml". Remove the line: the domain is the name of the file without .yaml`,
	})
}

func TestFindSite(t *testing.T) {
	s, _, err := loadAll(t, "sites: [a.example.com]\nsites_dir: $DIR/sites\n", map[string]string{"sites/b.example.com.yaml": "", "c.example.com.yaml": ""})
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"a.example.com", "b.example.com"} {
		if site, err := s.FindSite(domain); err != nil || site.Domain != domain {
			t.Errorf("%s: got %q, error %v", domain, site.Domain, err)
		}
	}
	for _, domain := range []string{"x.example.com", "../c.example.com", "", "sites/b.example.com"} {
		if _, err := s.FindSite(domain); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: error %v, want fs.ErrNotExist", domain, err)
		}
	}
}

// A command works on the one of several sites that is named.
func TestOneOfSeveralSites(t *testing.T) {
	in := inputs{yaml: "regions: eu\nsites: [{domain: a.example.com, key_file: /a.pem}, b.example.com]\n", args: []string{"--domain=a.example.com"}}
	if s := must(t, in); s.KeyFile != "/a.pem" || fmt.Sprint(s.Regions) != "[eu]" {
		t.Errorf("got %+v", s.Site)
	}
	for _, row := range []struct {
		name string
		in   inputs
		want string
	}{
		{"none named", inputs{yaml: in.yaml}, `domain: is not set, and the settings have several sites. Name one of them, as in --domain example.com`},
		{"another named", inputs{yaml: in.yaml, args: []string{"--domain=c.example.com"}}, `--domain: "c.example.com" is none of the sites. Name one that "wellkey sites list" shows`},
		{"a bad one named", inputs{yaml: "sites: [{domain: a.example.com, regions: x}]\n", args: []string{"--domain=a.example.com"}},
			`site "a.example.com": $DIR/wellkey.yaml:1: regions: "x" is no region. Choose among na, eu and cn. Fix the entry of the site`},
		{"a key for all", inputs{yaml: in.yaml + "key_file: /k\n", args: in.args}, `$DIR/wellkey.yaml:3: key_file: is set for the process, but there are several sites. Write it into the entry of the site that it belongs to`},
		{"no list", inputs{yaml: "sites: a.example.com\n", args: in.args}, `$DIR/wellkey.yaml:1: sites: is no list. Write a dash before each site, as in - domain: example.com`},
		{"no domain", inputs{yaml: "sites: [{regions: na}, a.example.com]\n", args: in.args}, `$DIR/wellkey.yaml:1: sites: has a site without a domain. Write - domain: example.com, and the other settings of the site below it`},
	} {
		_, faults := load(t, row.in)
		equalLines(t, row.name, faults, []string{row.want})
	}
	if _, _, err := loadAll(t, "domain: a.example.com\nsites: [b.example.com]\n", nil); err == nil || !strings.Contains(err.Error(), "domain: is set, and so are sites. Remove it, and make it one of the sites") {
		t.Errorf("a daemon with both: %v", err)
	}
}

// What one domain has is one site, too.
func TestOneDomainIsOneSite(t *testing.T) {
	s, dir, err := loadAll(t, "domain: example.com\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	good, bad := sitesOf(s, dir)
	equalLines(t, "sites", good, []string{"example.com [na eu] $DIR/data/key.pem  $DIR/data/credentials.yaml"})
	equalLines(t, "faults", bad, nil)
	if s.Several() {
		t.Error("one domain counts as several")
	}
}

// A command that takes any domain as its argument has the settings of that site,
// and for a domain of somebody else's no place of ours.
func TestArgumentAmongSites(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "wellkey.yaml"), "sites: [a.example.com]\n")
	loader := config.New([]string{"WELLKEY_DATA_DIR=" + dir, "WELLKEY_CONFIG=" + dir + "/wellkey.yaml"})
	for domain, want := range map[string]string{"a.example.com": dir + "/sites/a.example.com/key.pem", "b.example.com": ""} {
		if s, err := loader.LoadFor(domain); err != nil || s.KeyFile != want {
			t.Errorf("%s: key file %q, error %v; want %q", domain, s.KeyFile, err, want)
		}
	}
}

func BenchmarkSites(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("site%d.example.com.yaml", i)), []byte("regions: [na, eu]\n"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	s, err := config.New([]string{"WELLKEY_DATA_DIR=" + dir, "WELLKEY_SITES_DIR=" + dir}).LoadAll(false)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		for _, err := range s.Sites() {
			if err != nil {
				b.Fatal(err)
			}
			count++
		}
		if count != 1000 {
			b.Fatal(count)
		}
	}
}
