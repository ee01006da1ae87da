package server

// Of the memory that the process may have, base is for all but connections, and
// perConnection for each of those, with what the collector has not seen to yet.
const (
	base          = 28 << 20
	perConnection = 45 << 10
)

// What waits for an application takes some 50 kB and a connection to it, beside that of
// its visitor. With HTTP/2 there may be dozens on each connection, and with HTTP/1 it has
// the connection's place. So of four connections three may have a request there, and the
// others are for the key.
const ofFour = 3

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

// among returns one of n equal parts of s.
func (s share) among(n uint64) share {
	s.files /= n
	if s.memory > 0 {
		s.memory = max(s.memory/n, 1)
	}
	return s
}

// shares are those of a listener that serves the key, of one that leads to it, of
// connections of which a gate does not know yet whose they are, and of what is passed
// on.
type shares struct{ key, redirect, waiting, carried share }

// A shape is what a server has to share out between.
type shape struct {
	passes bool   // connections are passed on
	both   bool   // two listeners serve the key
	set    bool   // the operator said how many connections one may have
	app    bool   // an application is behind those that serve the key
	gates  uint64 // how many find out whose connections are; see gate.identifies
}

func (c *Config) shape() shape {
	s := shape{passes: len(c.Passthrough) > 0, both: c.PlainHTTP && c.HTTPSAddr != "", set: c.Limits.Connections > 0, app: c.Upstream != nil}
	switch {
	case c.ProxyProtocol && c.HTTPAddr != "" && c.HTTPSAddr != "":
		s.gates = 2
	case c.ProxyProtocol, s.passes:
		s.gates = 1 // that of HTTP has nothing to wait for without PROXY headers
	}
	return s
}

// divide shares out what the process has. What is in nobody's share, 3 of 24 files at
// the least and 6 of 24 without max_connections, is for storage, the way out to CA,
// Tesla and the listeners themselves, and whoever watches. The memory for what the
// operator set is his matter. The gates have 2 of 24 files between them.
func divide(files, memory uint64, s shape) shares {
	key, redirect, carried := uint64(8), uint64(8), uint64(0)
	switch {
	case s.set && s.both:
		key = 9
	case s.set:
		key, redirect = 16, 3
	}
	parts := uint64(2) // of memory: for each that there is
	if s.passes {
		key, redirect, carried = key/2, max(redirect/2, 2), 8
		parts++
	}
	if s.gates > 0 {
		parts++
	}
	if s.app {
		parts++ // for what waits for it
	}
	if memory > 0 {
		memory = max((max(memory, base)-base)/parts, 1)
	}
	files = min(files, 1<<32)
	of := func(parts uint64) share { return share{files * parts / 24, memory} }
	all := shares{of(key), of(redirect), of(2).among(max(s.gates, 1)), of(carried)}
	if s.app {
		all.key.files = all.key.files * 4 / (4 + ofFour)
	}
	if s.set {
		all.key.memory = 0
	}
	return all
}

// requests returns how many may be with an application at a time.
func (l limits) requests() int { return max(l.connections*ofFour/4, 1) }

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
