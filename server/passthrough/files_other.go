//go:build !unix

package passthrough

// maxFiles returns how many files this process may have open.
func maxFiles() int { return 1 << 20 }
