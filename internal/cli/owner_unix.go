//go:build unix

package cli

import (
	"fmt"
	"os"
	"path/filepath"
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
	return fmt.Errorf("wellkey runs as user %d here (%s is theirs), and this is user %d, whose files it could not read;"+
		" run the same command as that user, for example with sudo -u '#%d'", stat.Uid, dir, uid, stat.Uid)
}
