//go:build unix

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"wellkey/internal/config"
)

// sameUser returns an error where we are another user than the wellkey that
// serves: what root writes, that one cannot read. Who it is, the state that it
// keeps tells.
func sameUser(s *config.Settings) error {
	return belongsTo(filepath.Join(s.DataDir, "state"), os.Geteuid())
}

func belongsTo(dir string, uid int) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil // It never ran here, or the reason shows itself soon.
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == uid {
		return nil
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
	}
	return errOtherUser(real, int(stat.Uid), uid)
}

// errOtherUser says whose a directory, without symbolic links, is, and how to become
// that user. What systemd keeps for a service with DynamicUser nobody else gets to,
// sudo -u or not.
func errOtherUser(dir string, owner, uid int) error {
	if strings.HasPrefix(dir, "/var/lib/private/") {
		return fmt.Errorf("wellkey runs as a service of systemd here (%s is its own), with a user that exists while it runs, and this is user %d, whose files it could not read;"+
			" run the same command as that service, with wellkey-as-service instead of wellkey", dir, uid)
	}
	return fmt.Errorf("wellkey runs as user %d here (%s is theirs), and this is user %d, whose files it could not read;"+
		" run the same command as that user, for example with sudo -u '#%d'", owner, dir, uid, owner)
}
