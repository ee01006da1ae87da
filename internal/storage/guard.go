package storage

import "os"

// A guard is a file that we hold with flock(2): the kernel lets go of it when
// the process ends, however it ends.
type guard struct {
	file  *os.File
	path  string
	inode uint64
	local bool // only this kernel can write here, so that flock decides alone
}

// remove lets others have the guard, and tidies up. Whoever waits on the file
// that goes sees that its name is gone, and opens the next.
func (g *guard) remove() {
	_ = os.Remove(g.path) // It does no harm where it is.
	g.close()
}

func (g *guard) close() { _ = g.file.Close() } // Nothing was written.
