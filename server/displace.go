package server

import (
	"cmp"
	"net"
	"net/http"
	"runtime"
	"slices"
	"time"
)

// A listener that is full does not turn newcomers away: it closes the connection
// for whose client it has waited longest, so that those who open connections and
// let them lie take each other's places and nobody else's. The wait counts as often
// as its client has connections open, so that one with many loses its own first.
const (
	// Nobody loses a place sooner: what a visitor says first comes with what opens
	// the connection, or right after it, and a flood that fills a listener within
	// that time is one in which newcomers are turned away.
	leastWait = 100 * time.Millisecond
	// Who has begun a handshake, or just finished one, goes on after a round trip (RFC
	// 8446, section 2; RFC 5246, section 7.3), which takes a phone far away 300 ms. So
	// until then it loses its place only where those who said nothing have theirs for
	// less than leastWait, and more than one in mostGreeted have begun: they are a
	// flood, too, and of visitors there never are so many at a time.
	leastGreeted = time.Second
	mostGreeted  = 4
	// looked is how many are compared, so that a place is found in the same time
	// however many there are, and lookedInVain where nobody of those is to lose it:
	// all of a listener as we set it, also beside an application. The next search
	// begins where this one ended.
	looked       = 128
	lookedInVain = 16 * looked
)

// The states of those who lost their place, as they are counted.
const (
	lostFresh   = "unserved"
	lostIdle    = "idle"
	lostStalled = "stalled"
	lostReset   = "reset"  // who takes back all that it asks for; see wanted
	lostUnread  = "unread" // who went on asking, and read nothing until the deadline, or was one of too many; see held.Read
)

// crowd is how many requests may wait for their clients to read the answers, over all
// of so many connections. In HTTP/2 a client may begin dozens on each connection and
// have none of the answers sent; each holds 8 kB, and a goroutine with a stack of 8 kB.
// Where 1,024 connections are held it must not reach who asks 16 times 32 things at once and
// reads: all of those have a goroutine while they wait for a processor. And however few are
// held, the process has some 50 goroutines that belong to none of them.
func crowd(connections int) int { return max(128, connections/8*5) }

// relieve closes connections of HTTP/2 on which requests have been answered for longest, if
// there is a crowd: if there are so many more goroutines than two for each connection and
// those that are elsewhere, and so many requests since each connection was idle. Either may
// be large for other reasons, a busy program or a busy client, but hardly both. Everything
// that one request asks of us is done in less than leastWait, or it is away. It reports whether there are
// too many now: a request that may be one of dozens is then better not begun.
func (c *connections) relieve() (crowded bool) {
	over := runtime.NumGoroutine() - c.crowd
	if over >= 0 {
		over -= 2 * int(c.size.Load())
		if c.others != nil {
			over -= c.others()
		}
	}
	if over < 0 {
		if c.crowded.Load() {
			c.crowded.Store(false)
		}
		return false
	}
	now, last := c.now(), c.relieved.Load()
	if now-last < int64(time.Millisecond) || !c.relieved.CompareAndSwap(last, now) {
		return c.crowded.Load() // those that were closed are on their way out
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var stalled []*held
	asked := 0
	for _, one := range c.open {
		answered := one.answered.Load() // before asked, which it never exceeds
		asked += int(one.asked.Load() - answered)
		if !one.many.Load() {
			continue
		}
		asked -= int(one.away.Load())
		if one.active.Load() && one.stalls(now, leastWait) {
			stalled = append(stalled, one)
		}
	}
	over = min(over, asked-c.crowd)
	c.crowded.Store(over >= 0)
	if over < 0 {
		return false
	}
	slices.SortFunc(stalled, func(a, b *held) int { return cmp.Compare(a.goes(a.since.Load()), b.goes(b.since.Load())) })
	for _, one := range stalled[:min(over/32+1, 8, len(stalled))] {
		c.evict(one, lostStalled, now)
	}
	return true
}

// goes returns when h is to go in a crowd, of those that are to go, where its client has let
// us wait since then: the earlier the sooner. One that counts for nobody may stand for many
// who read, and then is never idle; it goes last, as one does of which the application has a
// request. mu of those that count it is held.
func (h *held) goes(since int64) int64 {
	if h.of == nil || h.away.Load() > 0 {
		since += int64(time.Hour)
	}
	return since
}

// mostWhileCrowded is how many requests a connection of HTTP/2 may begin until all that it
// asked is answered, while there is a crowd. Others may be that, so who asks one thing at a
// time is answered in any case; the second is for one that comes before net/http knows that
// the first has its answer.
const mostWhileCrowded = 2

// oneOfMany reports whether a request, begun in a crowd, is one of several that its
// client has begun without an answer.
func oneOfMany(r *http.Request) bool {
	h := heldBy(r)
	return h != nil && h.inCrowd.Add(1) > mostWhileCrowded
}

// longest returns whose place a newcomer may have, nil if nobody's; mu is held. Its client
// has been waited for longer than least. Where multiple is set, it is one over which HTTP/2
// is spoken.
//
// An answer is out of memory unless it is from the application or the storage, so one that
// takes twice as long waits for a client that does not read. It goes after all of those that
// nothing is being answered to; nobody goes who waits for one of the others, see stalls. Were that 2 s, or half of one, clients from
// eight addresses who come back for more would hold the 661 places of a small container, at
// the rate that they are allowed.
func (c *connections) longest(now int64, least time.Duration, multiple bool) *held {
	var waiting, greeted, stalled *held
	var longestWait, longestGreeted, longestStall int64
	n, greets := 0, 0
	found := func() *held {
		if waiting == nil && greets > n/mostGreeted {
			return greeted
		}
		return waiting
	}
	for ; n < len(c.open) && (n < looked || n < lookedInVain && found() == nil); n++ {
		if c.hand++; c.hand >= len(c.open) {
			c.hand = 0
		}
		one := c.open[c.hand]
		if multiple && !one.multiple {
			continue
		}
		wait := now - one.since.Load()
		active := one.active.Load()
		counts := wait
		if one.of != nil && one.of.open > 1 {
			counts *= int64(one.of.open)
		}
		switch {
		case active:
			if one.stalls(now, 2*least) && counts > longestStall {
				stalled, longestStall = one, counts
			}
		case wait < int64(leastGreeted) && one.greeted.Load() && one.fresh.Load():
			if greets++; wait > int64(least) && counts > longestGreeted {
				greeted, longestGreeted = one, counts
			}
		case wait > int64(least) && counts > longestWait:
			waiting, longestWait = one, counts
		}
	}
	if one := found(); one != nil {
		return one
	}
	return stalled
}

// evict takes the place of h from it, which is counted as what; mu is held. Whoever works
// on it finds out, also where it waits for something else than its client. A panic of who
// counts finds that done.
func (c *connections) evict(h *held, what string, now int64) {
	c.drop(h, now)
	_ = h.Conn.Close()
	h.resume()
	h.end()
	if w := h.stands.Load(); w != nil {
		w.line.quit(w, net.ErrClosed)
	}
	if what == lostUnread {
		h.lostUnread(c)
	} else {
		c.displaced(what)
	}
}

// lost returns what one that loses its place is counted as.
func (h *held) lost() string {
	switch {
	case h.active.Load():
		return lostStalled
	case h.fresh.Load():
		return lostFresh
	default:
		return lostIdle
	}
}
