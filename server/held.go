package server

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

// A held is a connection from the network that is, or is about to be, counted. It
// lies beneath TLS and whatever else is put around it, and says what it is doing
// without a lock.
type held struct {
	net.Conn

	fresh    atomic.Bool   // nothing was answered on it yet
	greeted  atomic.Bool   // its client began a handshake; see advance
	many     atomic.Bool   // HTTP/2 is spoken: it may have many requests
	active   atomic.Bool   // a request is being answered; else its client is waited for
	since    atomic.Int64  // when that began, by the clock of connections
	away     atomic.Int32  // requests that are with the application or the storage; see stalls
	back     atomic.Int64  // when one was last, by that clock
	writes   atomic.Uint32 // begun and ended: odd while one is under way
	wrote    atomic.Uint32 // bytes, which may overflow
	turn     atomic.Pointer[line]
	stands   atomic.Pointer[waiter]        // in the line; nil: it does not
	ended    atomic.Bool                   // it was closed, or another has its place
	by       atomic.Pointer[connections]   // which count it; nil: none do
	inCrowd  atomic.Int32                  // requests begun in a crowd since all were answered, see oneOfMany
	reset    atomic.Int32                  // requests that were taken back, see wanted
	asked    atomic.Uint32                 // requests of HTTP/2 that were begun
	answered atomic.Uint32                 // what asked was when all were answered
	answers  atomic.Int32                  // written since the last read; see Write
	told     atomic.Bool                   // that nobody reads the answers
	waits    atomic.Pointer[pause]         // of Read, for the end of the write that is under way; nil: it does not
	taken    atomic.Uint32                 // bytes of bodies of HTTP/2 that the application has, which may overflow
	tires    atomic.Pointer[chan struct{}] // closed when that is more, or ended is set; nil: nobody waits for it

	// These are for Read alone.
	seen  uint32 // what wrote was
	ahead int    // what was read beyond what was written, since there was nothing to write
	idle  int    // what was read beyond what requests need
	noted uint32 // what asked was
	had   uint32 // what taken was
	gave  uint32 // what wrote was, as talk saw it
	tired int64  // when idle was more than enough
	early int    // what may still be read before the handshake is done; negative: any

	// These are guarded by the mu of those.
	place    int      // in open
	of       *visitor // nil: it counts for nobody
	multiple bool     // it counts as one over which HTTP/2 is spoken
}

func hold(conn net.Conn) *held { return &held{Conn: conn, early: -1} }

// heldOf returns what is held beneath conn, nil if nothing is.
func heldOf(conn net.Conn) *held {
	for {
		if h, ok := conn.(*held); ok {
			return h
		}
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = wrapper.NetConn()
	}
}

// mostAhead is how many bytes are read beyond those that are written, while a write is
// under way. Frames of HTTP/2 that want an answer, such as PING, are few bytes, and
// net/http holds up to 10,000 of the answers that nobody reads, which is a megabyte
// for each connection. What comes beyond it waits in the kernel, and soon at the
// client.
const mostAhead = 4 << 10

// mostBurst is how many bytes are read until those have a chance to write who have
// something to write: what comes at once may keep them from it for milliseconds.
const mostBurst = 32 << 10

// mostUnread is how many connections of a listener may wait for their clients to read
// on. Of one of them net/http holds up to 230 kB: 3,000 answers, to what was in a
// burst and the rest of its last record. One more has the place of another; see relent.
const mostUnread = 64

// mostEarly is how many bytes are read before the handshake is done: a record (RFC
// 8446, section 5.1). A ClientHello has some 2 kB, even twice, but may claim 64 kB,
// which crypto/tls holds until the last of them has come.
const mostEarly = 16 << 10

// errLongHello ends a handshake in which the client says too much.
var errLongHello = errors.New("the client says more than 16 KiB before the handshake is done, which none needs to")

// Read implements net.Conn. Who waits for a client has no turn meanwhile.
func (h *held) Read(b []byte) (int, error) {
	h.leave()
	h.answers.Store(0)
	if h.early >= 0 {
		if h.early == 0 {
			return 0, errLongHello
		}
		n, err := h.Conn.Read(b[:min(len(b), h.early)])
		h.early -= n
		return n, err
	}
	// Of HTTP/1 net/http reads a buffer of 4 kB ahead, and that is all.
	c := h.by.Load()
	if c == nil || !h.many.Load() {
		return h.Conn.Read(b)
	}
	h.tire(c)
	room, err := h.room(c)
	if err != nil {
		return 0, err
	}
	n, err := h.Conn.Read(b[:min(len(b), room)])
	h.ahead += n
	h.idle += n
	return n, err
}

// What a client of HTTP/2 says beyond its requests (PING, SETTINGS, PRIORITY, requests
// that it takes back) costs us more than it costs the client. So it is read no faster
// than so many bytes in such a time; a client that behaves says less in all, but for what
// a body needs. What the application takes of one is no talk, and what frames and records
// there are around it is one byte in perFrame: some send 62 with every 16 kB. Of what is
// written to the client it says one byte in perThanks, so that more may be
// (WINDOW_UPDATE): some say 48 for every 4 kB.
//
// Where more than manyTalk connections do so at a time, each waits for longer, so that all
// together say no more than so many: up to 32 s where 2,048 are held. Who loses its place
// meanwhile waits no more; see evict.
//
// Nobody can take the beginning of a frame that lies in the beginning of a record. With an
// application that is 32 KiB and a bit (RFC 8446, section 5.1), so there it is half as much
// again.
const (
	mostIdleTalk = 32 << 10
	idleTalk     = 250 * time.Millisecond
	manyTalk     = 16
	perFrame     = 8
	perThanks    = 32
)

// tire lets a client wait that says much and asks for little, while h is open; c counts h.
func (h *held) tire(c *connections) {
	if h.talk(c) < c.mostTalk {
		return
	}
	interval := idleTalk * time.Duration(max(1, c.tiring.Add(1)/manyTalk))
	defer c.tiring.Add(-1)
	if early := interval - time.Duration(c.now()-h.tired); h.tired > 0 && early > 0 {
		over := time.NewTimer(early)
		defer over.Stop()
		for late := false; !late; {
			more := make(chan struct{})
			h.tires.Store(&more)
			if h.ended.Load() || h.talk(c) < c.mostTalk {
				return
			}
			select {
			case <-more:
			case <-over.C:
				late = true
			}
		}
	}
	h.idle = 0
	h.tired = c.now()
}

// talk returns how much was said beyond what requests and bodies need.
func (h *held) talk(c *connections) int {
	asked, taken, wrote := h.asked.Load(), h.taken.Load(), h.wrote.Load()
	body := int(taken - h.had)
	body += body / perFrame
	h.idle = max(0, h.idle-int(asked-h.noted)*c.headerBytes-body-int(wrote-h.gave)/perThanks)
	h.ahead = max(0, h.ahead-body) // it needs no answer
	h.noted, h.had, h.gave = asked, taken, wrote
	return h.idle
}

// took notes that the application has n bytes more of a body.
func (h *held) took(n int) {
	h.taken.Add(uint32(n)) // #nosec G115 -- it may overflow
	h.stir()
	if h.waits.Load() != nil {
		h.resume()
	}
}

// stir has who is in tire look again.
func (h *held) stir() {
	if more := h.tires.Swap(nil); more != nil {
		close(*more)
	}
}

// end tells who waits for something else than the client of h that it is closed.
func (h *held) end() {
	h.ended.Store(true) // before tires is read, see tire, and stands, see line.wait
	h.stir()
}

// room returns how much may be read, once that is more than nothing.
func (h *held) room(c *connections) (int, error) {
	for {
		h.talk(c)
		wrote := h.wrote.Load()
		h.ahead = max(0, h.ahead-int(wrote-h.seen))
		h.seen = wrote
		writes := h.writes.Load()
		switch underWay := writes&1 == 1; {
		case underWay && h.ahead < mostAhead:
			return mostAhead - h.ahead, nil
		case underWay:
			if err := h.wait(writes); err != nil {
				return 0, err
			}
		case h.ahead < mostBurst:
			return mostBurst - h.ahead, nil
		default:
			runtime.Gosched() // whoever has something to write begins
			if h.writes.Load() == writes {
				h.ahead = 0 // nobody has
			}
		}
	}
}

// A pause is that of a Read that waits for the end of a write.
type pause struct {
	by    *connections // which count it
	began int64        // by their clock
	over  chan struct{}
}

// wait returns when that of the writes has ended, which it does by its deadline at the
// latest, when the application took more of a body, or when another has the place of h.
func (h *held) wait(writes uint32) error {
	c := h.by.Load()
	if c == nil {
		return net.ErrClosed // or about to be
	}
	p := &pause{by: c, began: c.now(), over: make(chan struct{})}
	unread := c.unread.Add(1)
	h.waits.Store(p)
	if h.writes.Load() != writes || h.taken.Load() != h.had {
		h.resume() // that was before it could know
	} else if unread > mostUnread {
		c.relent(h)
	}
	<-p.over
	return nil
}

// resume ends the pause of h, and returns by whom it was counted; nil where there was
// none.
func (h *held) resume() *connections {
	p := h.waits.Swap(nil)
	if p == nil {
		return nil
	}
	p.by.unread.Add(-1)
	close(p.over)
	return p.by
}

// relent closes the connection that has waited for longest, of those that wait for their
// clients to read. newcomer, which is one too many, has its place: who has only just begun
// most likely reads.
func (c *connections) relent(newcomer *held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var longest *held
	var first int64
	for _, one := range c.open {
		p := one.waits.Load()
		if p == nil || one == newcomer {
			continue
		}
		if goes := one.goes(p.began); longest == nil || goes < first {
			longest, first = one, goes
		}
	}
	if longest != nil { // else they read on just now
		c.evict(longest, lostUnread, c.now())
	}
}

// Write implements net.Conn. What is written was worked out.
//
// A client of HTTP/1 that has asked for many things at once never lets its goroutine wait,
// so that would keep a processor for 10 ms (the slice of Go's scheduler) before another has
// it; behind 64 of those a visitor waited for a second. After each answer the others come
// first. In HTTP/2 many goroutines take turns by themselves.
func (h *held) Write(b []byte) (int, error) {
	h.leave()
	if h.answers.Add(1) > 1 && !h.many.Load() {
		runtime.Gosched()
	}
	h.writes.Add(1)
	n, err := h.Conn.Write(b)
	h.wrote.Add(uint32(n)) // #nosec G115 -- it may overflow
	h.writes.Add(1)
	if h.waits.Load() != nil {
		if c := h.resume(); c != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			h.lostUnread(c)
		}
	}
	return n, err
}

// lostUnread has c count h as one whose answers nobody reads, once.
func (h *held) lostUnread(c *connections) {
	if !h.told.Swap(true) {
		c.displaced(lostUnread)
	}
}

// Close implements net.Conn.
func (h *held) Close() error {
	h.leave()
	err := h.Conn.Close()
	h.end()
	return err
}

// leave ends the turn of h, if it has one; see line.
func (h *held) leave() {
	if h.turn.Load() != nil {
		if l := h.turn.Swap(nil); l != nil {
			l.next()
		}
	}
}

// CloseWrite closes the way to the client alone, where that can be.
func (h *held) CloseWrite() error {
	if half, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
