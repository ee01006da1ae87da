package server

// mostIdle is how many goroutines wait for the next connection. One that made a
// handshake has a large stack, and to let a new one grow it step by step takes a
// fifteenth of the processor time of a handshake. Of those that wait for long the
// collector of garbage takes the stack back.
const mostIdle = 16

// work leads one connection, and then those that come next, until others wait enough.
func (g *gate) work(next *held) {
	for next != nil {
		g.lead(next)
		next = g.another()
	}
}

// begin has somebody lead a connection, who waits for one if there is somebody.
func (g *gate) begin(conn *held) {
	g.pending.Add(1)
	select {
	case g.next <- conn:
	default:
		g.workers.Go(func() { g.work(conn) })
	}
}

// another waits for a connection; nil where others do enough of that, or nothing is
// to come.
func (g *gate) another() *held {
	if g.idle.Add(1) > mostIdle {
		g.idle.Add(-1)
		return nil
	}
	defer g.idle.Add(-1)
	select {
	case conn := <-g.next:
		return conn
	case <-g.ended:
		return nil
	}
}
