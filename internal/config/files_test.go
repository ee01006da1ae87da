package config_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"wellkey/internal/config"
)

// Root may read everything, and disks seldom fail, so these are asked for.
func TestUnreadableFile(t *testing.T) {
	for _, row := range []struct {
		err       error
		what, fix string
	}{
		{&fs.PathError{Op: "open", Path: "/f", Err: fs.ErrPermission}, `may not read "/f"`, fmt.Sprintf("Let user id %d read it (chown or chmod)", os.Getuid())},
		{&fs.PathError{Op: "read", Path: "/f", Err: errors.New("input/output error")}, `reading "/f": input/output error`, "Check the path and the disk"},
		{errors.New("bad luck"), `reading "/f": bad luck`, "Check the path and the disk"},
	} {
		what, fix := config.ExplainFile("/f", row.err)
		if what != row.what || fix != row.fix {
			t.Errorf("%v: got %q and %q", row.err, what, fix)
		}
	}
}
