package sandbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What replaces a file, or a link on the way to it, is covered: Kubernetes swaps
// ..data, certbot points elsewhere in its archive, editors rename.
func TestAround(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"plain", "kube/..2026", "live", "archive"} {
		must(t, os.MkdirAll(at(name), 0o700))
	}
	for _, name := range []string{"plain/key.pem", "kube/..2026/key.pem", "archive/chain1.pem"} {
		must(t, os.WriteFile(at(name), nil, 0o600))
	}
	for name, target := range map[string]string{
		"kube/..data": "..2026", "kube/key.pem": "..data/key.pem", "live/chain.pem": "../archive/chain1.pem",
		"linked": "plain", "loop": "loop", "dangling": "/nowhere/at/all",
	} {
		must(t, os.Symlink(target, at(name)))
	}
	for _, row := range []struct {
		path string
		want []string
	}{
		{"", nil},
		{at("plain/key.pem"), []string{at("plain")}},
		{at("plain/missing.pem"), []string{at("plain")}},
		{at("kube/key.pem"), []string{at("kube")}},
		{at("live/chain.pem"), []string{at("archive"), at("live")}},
		{at("linked/key.pem"), []string{at("linked"), at("plain")}},
		{at("loop"), []string{dir}},
		{at("dangling"), []string{"/nowhere/at", dir}},
	} {
		if got := sandbox.Around(row.path); !slices.Equal(got, row.want) {
			t.Errorf("Around(%q) = %q, want %q", row.path, got, row.want)
		}
	}
}

func TestExisting(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{dir: dir, dir + "/a/b/c": dir, "/": "/"} {
		if got := sandbox.Existing(path); got != want {
			t.Errorf("Existing(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestReadFor(t *testing.T) {
	got := sandbox.ReadFor([]string{"SSL_CERT_FILE=/roots/a.pem", "SSL_CERT_DIR=/certs/a:/certs/b", "HOME=/home/user"})
	for _, want := range []string{"/etc", "/usr", "/proc", "/roots", "/certs/a", "/certs/b"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q lacks %s", got, want)
		}
	}
	for _, no := range []string{"/", "/home", "/home/user", "/var", "/root"} {
		if slices.Contains(got, no) {
			t.Errorf("%q has %s", got, no)
		}
	}
}
