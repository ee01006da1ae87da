package server

// Of the memory that the process may have, base is for all but connections, and
// perConnection for each of those, with what the collector has not seen to yet.
const (
	base          = 28 << 20
	perConnection = 45 << 10
)

// What a connection costs that is passed on: three goroutines with their stacks; two
// sockets, and two pipes through which the kernel moves the bytes (splice).
const (
	perCarried   = 24 << 10
	filesCarried = 6
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

// A share is what one part of the server may take: open files, and bytes, of which 0
// is any.
type share struct{ files, memory uint64 }

// shares are those of a listener that serves the key, of one that leads to it, of
// connections of which a gate does not know yet whose they are, and of what is passed
// on.
type shares struct{ key, redirect, waiting, carried share }

// divide shares out what the process has. What is in nobody's share, 3 of 24 files at
// the least and 6 of 24 without max_connections, is for storage, the way out to CA,
// Tesla and the listeners themselves, and whoever watches. both is where two listeners
// serve the key, set where the operator said how many connections one may have, whose
// memory is then his matter.
func divide(files, memory uint64, passes, both, set bool) shares {
	key, redirect, carried := uint64(8), uint64(8), uint64(0)
	switch {
	case set && both:
		key = 9
	case set:
		key, redirect = 16, 3
	}
	listeners := uint64(2)
	if passes {
		key, redirect, carried, listeners = key/2, max(redirect/2, 2), 8, 3
	}
	if memory > 0 {
		memory = max((max(memory, base)-base)/listeners, 1)
	}
	files = min(files, 1<<32)
	of := func(parts uint64) share { return share{files * parts / 24, memory} }
	all := shares{of(key), of(redirect), of(1), of(carried)}
	if set {
		all.key.memory = 0
	}
	return all
}

// within returns l for a share. A connection is one file. No client alone may take
// them all.
func (l limits) within(s share) limits {
	room := s.files
	if s.memory > 0 {
		room = min(room, s.memory/perConnection)
	}
	if most := int(min(room, uint64(l.connections))); most < l.connections { // #nosec G115 -- between 0 and connections
		l.connections = max(most, 1)
		l.perAddress = min(l.perAddress, max(most/4, 1))
	}
	return l
}

// carried returns how many connections may be passed on.
func (s share) carried(most int) int {
	room := s.files / filesCarried
	if s.memory > 0 {
		room = min(room, s.memory/perCarried)
	}
	return max(int(min(room, uint64(most))), 1) // #nosec G115 -- between 0 and most
}
