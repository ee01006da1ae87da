//go:build unix

package sandbox

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// PrivateFiles has every file that the process makes from now on belong to its
// owner alone, unless it is given another mode explicitly.
func PrivateFiles() { unix.Umask(0o077) }

// NoCoreDump has the kernel write nothing of the memory, which holds secrets, into a
// file, nor pass it on, however the process ends. Programs that it starts inherit that.
//
// It is not made undumpable as a whole (prctl PR_SET_DUMPABLE): then it could not read
// its own /proc/self/fd either, by which open files are counted.
func NoCoreDump() {
	limit := unix.Rlimit{}
	if runtime.GOOS == "linux" {
		// 0 keeps it from files alone, and a handler of core_pattern gets it all the
		// same. 1 is too little for a file, and says that no handler is to be called
		// (do_coredump in fs/coredump.c).
		limit = unix.Rlimit{Cur: 1, Max: 1}
	}
	if unix.Setrlimit(unix.RLIMIT_CORE, &limit) != nil {
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // it was 0 already, which can only stay
	}
}
