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

func TestOtherUser(t *testing.T) {
	for dir, want := range map[string]string{
		"/var/lib/private/wellkey/state": "wellkey runs as a service of systemd here (/var/lib/private/wellkey/state is its own), with a user that exists while it runs, " +
			"and this is user 0, whose files it could not read; run the same command as that service, with wellkey-as-service instead of wellkey",
		"/var/lib/wellkey/state": "wellkey runs as user 61234 here (/var/lib/wellkey/state is theirs), and this is user 0, whose files it could not read; " +
			"run the same command as that user, for example with sudo -u '#61234'",
	} {
		if got := errOtherUser(dir, 61234, 0).Error(); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}
