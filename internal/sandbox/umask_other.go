//go:build !unix

package sandbox

// PrivateFiles does nothing where there are no modes.
func PrivateFiles() {}
