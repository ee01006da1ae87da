//go:build unix

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wellkey/internal/config"
)

func TestSameUser(t *testing.T) {
	dir := t.TempDir()
	settings := &config.Settings{DataDir: dir}
	if err := sameUser(settings); err != nil {
		t.Errorf("where wellkey never ran: %v", err)
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := sameUser(settings); err != nil {
		t.Errorf("its own: %v", err)
	}
	err := belongsTo(state, os.Geteuid()+1)
	if want := fmt.Sprintf("wellkey runs as user %d here", os.Geteuid()); err == nil || !strings.HasPrefix(err.Error(), want) ||
		!strings.HasSuffix(err.Error(), fmt.Sprintf("sudo -u '#%d'", os.Geteuid())) {
		t.Errorf("somebody else's: %v, want %s", err, want)
	}
}
