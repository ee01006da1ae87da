//go:build unix

package sandbox

import "golang.org/x/sys/unix"

// PrivateFiles has every file that the process makes from now on belong to its
// owner alone, unless it is given another mode explicitly.
func PrivateFiles() { unix.Umask(0o077) }
