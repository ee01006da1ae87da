package compose_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"wellkey/deploy/deploytest"
)

// TestRestore: what docs/operating.md does to the volume leaves what wellkey can read,
// whoever owned the copy and whatever mode it had. Docker itself is not here: its part
// is to mount the two folders.
func TestRestore(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("this test gives files to another user, so it must run as root")
	}
	doc := deploytest.Read(t, "docs/operating.md")
	m := regexp.MustCompile(`(?m)^docker run --rm -v (\S+):/data -v "\$PWD/wellkey-backup:/backup:ro" busybox sh -c '(.*)'$`).FindStringSubmatch(doc)
	if m == nil {
		t.Fatal("docs/operating.md does not restore a volume")
	}
	var file struct {
		Name    string
		Volumes map[string]any
	}
	if err := yaml.Unmarshal(deploytest.ReadFile(t, "compose.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	if _, there := file.Volumes["data"]; !there || m[1] != file.Name+"_data" {
		t.Errorf("the volume is %s, want that of the file: %s, %v", m[1], file.Name, file.Volumes)
	}

	backup, data := t.TempDir(), t.TempDir()
	for path, mode := range map[string]os.FileMode{"key.pem": 0o644, "state/certificates/it.key": 0o600, "state/locks/it.lock": 0o600} {
		path = filepath.Join(backup, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(path), mode); err != nil {
			t.Fatal(err)
		}
	}
	script := strings.NewReplacer("/backup", backup, "/data", data).Replace(m[2])
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	for path, mode := range map[string]os.FileMode{"": os.ModeDir | 0o700, "key.pem": 0o600, "state": os.ModeDir | 0o700, "state/certificates/it.key": 0o600} {
		info, err := os.Stat(filepath.Join(data, path))
		if err != nil {
			t.Error(err)
			continue
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 65532 || info.Mode() != mode {
			t.Errorf("%q belongs to %d and has mode %v, want 65532 and %v", path, owner, info.Mode(), mode)
		}
	}
	if _, err := os.Stat(filepath.Join(data, "state/locks")); err == nil {
		t.Error("the locks came back")
	}
}
