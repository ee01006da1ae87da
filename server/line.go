package server

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// errBusy ends a handshake whose turn did not come.
var errBusy = errors.New("too many handshakes at a time")

// longestLine is how long a handshake waits for its turn. A machine that is behind by
// more would make it for clients that have gone.
const longestLine = 2 * time.Second

// A line lets only a few handshakes be worked on at a time, as many as processors
// have use for, so that a flood of them leaves the processors to whoever is past
// that: requests, renewals, the look from outside, the admin listener. It is fair:
// one from an address that has none waiting goes before those from addresses that
// have.
//
// A turn begins when a ClientHello has come and ends when the answer to it is
// written, so that nobody who waits for a client, or for a certificate, has one.
type line struct {
	client  func(net.Addr) netip.Prefix // who counts as one client
	longest time.Duration               // see longestLine

	mu      sync.Mutex
	free    int                  // guarded by mu; turns that nobody has
	only    list.List            // guarded by mu; of *waiter: of clients that had none waiting
	more    list.List            // guarded by mu; the same of all others
	waiting map[netip.Prefix]int // guarded by mu; how many of each client wait; never 0
}

// A waiter is a handshake that waits for its turn.
type waiter struct {
	line   *line
	one    *held
	client netip.Prefix
	lane   *list.List    // guarded by the line's mu; nil: it waits no more
	place  *list.Element // guarded by the line's mu; in lane
	over   chan struct{} // closed when it waits no more
	err    error         // guarded by the line's mu until over is closed; nil: it has its turn
}

func newLine(client func(net.Addr) netip.Prefix) *line {
	return &line{client: client, longest: longestLine, free: max(4, 2*runtime.GOMAXPROCS(0)), waiting: map[netip.Prefix]int{}}
}

// enter returns when it is the turn of the connection of hello, which has it until
// leave. It returns errBusy where that takes too long, and net.ErrClosed where the
// connection loses its place meanwhile.
func (l *line) enter(hello *tls.ClientHelloInfo) error {
	one := heldOf(hello.Conn)
	if one == nil {
		return nil
	}
	if w := l.stand(hello.Conn, one); w != nil {
		return l.wait(hello.Context(), w)
	}
	return nil
}

// stand gives one, which lies beneath conn, a turn, or has it stand in the line and returns its place there.
func (l *line) stand(conn net.Conn, one *held) *waiter {
	one.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free == 0 {
		return l.join(one, l.whose(conn))
	}
	l.free--
	one.turn.Store(l)
	return nil
}

// wait returns when the turn of w has come, or says why it does not.
func (l *line) wait(ctx context.Context, w *waiter) error {
	if w.one.ended.Load() { // perhaps before it stood there, when nobody could tell it
		l.quit(w, net.ErrClosed)
	}
	limit := time.NewTimer(l.longest)
	defer limit.Stop()
	select {
	case <-w.over:
	case <-limit.C:
		l.quit(w, errBusy)
	case <-ctx.Done():
		l.quit(w, ctx.Err())
	}
	return w.err
}

// whose returns the client at the other end. Here those behind one private address
// are one, too: it is about their order only.
func (l *line) whose(conn net.Conn) netip.Prefix {
	addr := conn.RemoteAddr()
	client := l.client(addr)
	if tcp, ok := addr.(*net.TCPAddr); ok && !client.IsValid() {
		ip := tcp.AddrPort().Addr().Unmap().WithZone("")
		client = netip.PrefixFrom(ip, ip.BitLen())
	}
	return client
}

// join puts one more of client at the end of the line; mu is held.
func (l *line) join(one *held, client netip.Prefix) *waiter {
	w := &waiter{line: l, one: one, client: client, lane: &l.more, over: make(chan struct{})}
	if l.waiting[client]++; l.waiting[client] == 1 {
		w.lane = &l.only
	}
	w.place = w.lane.PushBack(w)
	one.stands.Store(w)
	return w
}

// quit takes w out of the line, for the reason why, unless it waits no more.
func (l *line) quit(w *waiter, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.lane != nil {
		w.err = why
		l.out(w)
	}
}

// out ends the wait of w; mu is held.
func (l *line) out(w *waiter) {
	w.lane.Remove(w.place)
	w.lane = nil
	w.one.stands.Store(nil)
	if l.waiting[w.client]--; l.waiting[w.client] == 0 {
		delete(l.waiting, w.client)
	}
	close(w.over)
}

// next gives a turn that has ended to who is next.
func (l *line) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range []*list.List{&l.only, &l.more} {
		if first := lane.Front(); first != nil {
			w := first.Value.(*waiter)
			w.one.turn.Store(l)
			l.out(w)
			return
		}
	}
	l.free++
}
