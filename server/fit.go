package server

// Of the memory that the process may have, base is for all but connections, and
// perConnection for each of those, with what the collector has not seen to yet.
const (
	base          = 28 << 20
	perConnection = 45 << 10
)

// set returns l with what the operator set.
func (l limits) set(by Limits) limits {
	if by.Connections > 0 {
		l.connections = by.Connections
	}
	if by.PerClient > 0 {
		l.perAddress = by.PerClient
	}
	if by.Rate > 0 {
		l.pace = perSecond(by.Rate)
	}
	return l
}

// within returns l for a process that may open so many files and have so much
// memory, in bytes; 0 is any. A connection is one file, and there are two listeners;
// the rest is for files, the way out, and whoever watches. No client alone may
// take them all. What the operator set is not bounded by memory, and less by files.
func (l limits) within(descriptors, memory uint64, set bool) limits {
	room := descriptors / 3
	if set {
		room = descriptors / 4 * 3
	}
	if memory > 0 && !set {
		room = min(room, (max(memory, base)-base)/(2*perConnection))
	}
	if share := int(min(room, uint64(l.connections))); share < l.connections { // #nosec G115 -- between 0 and connections
		l.connections = max(share, 1)
		l.perAddress = min(l.perAddress, max(share/4, 1))
	}
	return l
}
