//go:build unix

package server

import (
	"math"
	"syscall"
)

// descriptors returns how many files this process may open at a time. Go has raised
// the limit to the highest that it may be.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return math.MaxUint64
	}
	return uint64(limit.Cur) // signed on FreeBSD
}
