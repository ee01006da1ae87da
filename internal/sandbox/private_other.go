//go:build !unix

package sandbox

// PrivateFiles does nothing where there are no modes.
func PrivateFiles() {}

// NoCoreDump does nothing where there are none.
func NoCoreDump() {}
