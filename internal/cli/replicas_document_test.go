package cli_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wellkey/internal/config"
	"wellkey/internal/storage"
	"wellkey/internal/storage/postgres"
	"wellkey/internal/storage/redis"
)

// TestReplicasDocument: the examples of docs/replicas.md are what the program
// takes, and what it wants of the stores.
func TestReplicasDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/replicas.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	block := func(language string) string {
		_, rest, _ := strings.Cut(doc, "```"+language+"\n")
		body, _, _ := strings.Cut(rest, "```")
		return body
	}

	dir := t.TempDir()
	settings := block("yaml")
	for _, name := range []string{"storage_password", "storage_key", "key.pem"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		settings = strings.ReplaceAll(settings, "/run/secrets/"+name, path)
	}
	file := filepath.Join(dir, "wellkey.yaml")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := config.New([]string{"HOME=" + dir, "WELLKEY_CONFIG=" + file}).Load()
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := storage.ParseKeys(s.Storage.Keys.Reveal()); err != nil || keys.IsZero() {
		t.Errorf("the sealing key: %v", err)
	}
	urls := regexp.MustCompile("`((?:rediss?|postgres)://[^`]+[^/`])`").FindAllStringSubmatch(doc, -1)
	for _, url := range append(urls, []string{"", s.Storage.URL}) {
		if err := storage.CheckURL(url[1]); err != nil {
			t.Errorf("%s: %v", url[1], err)
		}
	}
	if len(urls) < 4 {
		t.Errorf("%d URLs were found, want those of the table", len(urls))
	}
	if !strings.Contains(doc, "ACL SETUSER wellkey on >password "+redis.Privileges+"\n") {
		t.Errorf("the access list is not %q", redis.Privileges)
	}
	squeeze := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	if !strings.Contains(squeeze(doc), squeeze(postgres.Schema())) {
		t.Errorf("the tables are not those that wellkey makes:\n%s", postgres.Schema())
	}
}
