package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCredentialsPassedOn: where systemd hands the credentials over, nobody can write
// them there, so the log says which file to write, and that it wants a restart.
func TestCredentialsPassedOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withFiles)
	passed := t.TempDir()
	if err := os.WriteFile(filepath.Join(passed, "credentials.yaml"), []byte("#"), 0o400); err != nil {
		t.Fatal(err)
	}
	environ := []string{actAsWellkey + "=1", "HOME=" + w.dir, coverage(), "CREDENTIALS_DIRECTORY=" + passed}
	p, err := w.Exec(os.Args[0], environ, "CREDENTIALS_FILE")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Signal(os.Kill) // nothing else ends it
		p.Wait()
	})
	fix := w.awaitLine(p.Log, "no credentials yet").Text("fix")
	if !strings.HasSuffix(fix, "write its client id and secret into the file that LoadCredential= of the unit names, such as /etc/wellkey/credentials.yaml; "+
		"then restart the service, since systemd hands it over at the start.") {
		t.Errorf("the fix is %q", fix)
	}
}
