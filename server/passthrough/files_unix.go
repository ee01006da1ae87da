//go:build unix

package passthrough

import "syscall"

// maxFiles returns how many files this process may have open. Go has raised the
// limit to the highest that it may be.
func maxFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<20 {
		return 1 << 20
	}
	return int(limit.Cur)
}
