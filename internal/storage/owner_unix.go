//go:build unix

package storage

import (
	"fmt"
	"os"
	"syscall"
)

// permits reports whether the permissions of dir, and of how it is mounted, allow
// to write into it. That says nothing of the disk.
func permits(dir string) bool {
	const writeAndSearch = 0o3 // W_OK|X_OK
	return syscall.Access(dir, writeAndSearch) == nil
}

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
