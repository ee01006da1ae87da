package compose_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
)

// TestSeveralDomains: what docs/deploy.md has changed for several domains makes a file
// that needs no DOMAIN, and settings that are good.
func TestSeveralDomains(t *testing.T) {
	t.Parallel()
	const one = "`WELLKEY_SITES_DIR: /data/sites` in the place of the lines with `WELLKEY_DOMAIN` and `WELLKEY_CREDENTIALS_FILE`"
	if !strings.Contains(deploytest.Read(t, "docs/deploy.md"), one) {
		t.Fatal("docs/deploy.md says something else")
	}
	text := string(deploytest.ReadFile(t, "compose.yaml"))
	text = regexp.MustCompile(`(?m)^( +)WELLKEY_DOMAIN:.*$`).ReplaceAllString(text, "${1}WELLKEY_SITES_DIR: /data/sites")
	text = regexp.MustCompile(`(?m)^ +WELLKEY_CREDENTIALS_FILE:.*\n`).ReplaceAllString(text, "")
	path := filepath.Join(t.TempDir(), "compose.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := load(t, path)
	if err != nil {
		t.Fatal(err)
	}
	environ := environment(p.Services["wellkey"])
	if environ["WELLKEY_SITES_DIR"] != "/data/sites" {
		t.Fatalf("the environment is %v", environ)
	}
	environ["WELLKEY_SITES_DIR"] = t.TempDir() // which "sites add" makes
	if err := deploytest.CheckConfig(deploytest.ReadImage(t).Environ(environ), []string{"serve"}); err != nil {
		t.Error(err)
	}
}
