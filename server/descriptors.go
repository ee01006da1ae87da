package server

// within returns l for a process that may open so many files. A connection is
// one, and there are two listeners; the rest is for files, the way out, and whoever
// watches. No client alone may take them all.
func (l limits) within(descriptors uint64) limits {
	if share := int(min(descriptors/3, uint64(l.connections))); share < l.connections {
		l.connections = max(share, 1)
		l.perAddress = min(l.perAddress, max(share/4, 1))
	}
	return l
}
