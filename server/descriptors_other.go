//go:build !unix

package server

import "math"

// descriptors returns how many files this process may open at a time: as many as
// it likes.
func descriptors() uint64 { return math.MaxUint64 }
