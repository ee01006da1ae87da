//go:build unix

package storage

import (
	"fmt"
	"os"
	"syscall"
)

// owner says who owns dir, if that can be told.
func owner(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" (owner uid %d, mode %04o)", stat.Uid, info.Mode().Perm())
}
