package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/internal/config"
)

// The examples of docs/dns.md are right, one for each provider.
func TestDNSExamples(t *testing.T) {
	text := read(t, "docs/dns.md")
	dir := t.TempDir()
	for name, secret := range map[string]string{"tsig": "c2VjcmV0", "cloudflare": "token", "httpreq": "password"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, example := range blocks(text, "yaml") {
		path := filepath.Join(dir, "wellkey.yaml")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(example, "/run/secrets/", dir+"/")), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := config.New([]string{"HOME=" + dir, "WELLKEY_CONFIG=" + path}).Load()
		if err != nil {
			t.Errorf("%s\n%v", example, err)
			continue
		}
		if len(s.Warnings) > 0 {
			t.Errorf("%s\n%q", example, s.Warnings)
		}
		seen[s.DNS.Provider] = true
	}
	for _, provider := range []string{"rfc2136", "acme-dns", "cloudflare", "httpreq", "exec"} {
		if !seen[provider] || !strings.Contains(text, "| `"+provider+"` |") {
			t.Errorf("%s has no example, or no row", provider)
		}
	}
	for _, example := range blocks(text, "json") {
		if !json.Valid([]byte(example)) {
			t.Errorf("no JSON: %s", example)
		}
	}
}
