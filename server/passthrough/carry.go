package passthrough

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"
)

// Carry passes conn on to t: first what was already read of it, then everything,
// both ways, until both ends have finished or nothing moves any more. It closes
// conn. from and to are the addresses between which the client sees itself; client is
// what counts as one, see peer.Client.
func (p *Passthrough) Carry(conn net.Conn, from, to net.Addr, read []byte, t *Target, client netip.Prefix) {
	defer func() { _ = conn.Close() }()
	if refused := p.places.Enter(client); refused != "" {
		t.failed(refused)
		return
	}
	t.open.Add(1)
	defer func() {
		p.places.Leave(client)
		t.open.Add(-1) // who sees that it is gone finds its place free
	}()
	t.total.Add(1)
	began := time.Now()
	there, err := p.dialer.DialContext(p.places.Context(), "tcp", t.Target)
	if err != nil {
		p.report(t, began, err)
		return
	}
	defer func() { _ = there.Close() }()
	if p.config.ProxyProtocol {
		head, err := proxyproto.HeaderProxyFromAddrs(2, from, to).Format()
		if err != nil {
			p.report(t, began, err)
			return
		}
		read = append(head, read...)
	}
	_ = there.SetWriteDeadline(time.Now().Add(dialTimeout))
	if _, err := there.Write(read); err != nil {
		p.report(t, began, err)
		return
	}
	_ = there.SetWriteDeadline(time.Time{})
	p.recovered(t)
	t.in.Add(uint64(len(read)))
	p.join(conn, there, t)
}

// join copies both ways until both ends have finished. Between two TCP
// connections the kernel does it (splice), so nothing is allocated and nothing is
// looked at.
func (p *Passthrough) join(here, there net.Conn, t *Target) {
	j := &joint{here: here, there: there, half: make(chan struct{})}
	j.every.Store(int64(idleInterval))
	j.moved.Store(time.Now().UnixNano())
	stop := make(chan struct{})
	defer close(stop)
	go p.config.Panics.Do(func() { // it ends with both copies
		if j.watch(stop, p.places.Context().Done()) {
			t.failed(reasonIdle) // before anybody can see that it is over
			j.end()
		}
	})
	back := make(chan struct{})
	go func() {
		defer close(back)
		if p.config.Panics.Do(func() { j.flow(here, there, &t.out) }) {
			j.end()
		}
	}()
	j.flow(there, here, &t.in)
	<-back
}

// A joint is two connections, each of which gets what is read from the other.
type joint struct {
	here, there net.Conn
	moved       atomic.Int64  // when anything last did; in nanoseconds since 1970
	every       atomic.Int64  // how often it is looked whether anything moves; a time.Duration
	finished    atomic.Int32  // how many ends have
	half        chan struct{} // closed when one has
}

// end ends both ways.
func (j *joint) end() {
	_ = j.here.Close()
	_ = j.there.Close()
}

// watch returns when nothing moves any more, which it reports, at stop, and at stopping,
// once it has ended both ways.
func (j *joint) watch(stop, stopping <-chan struct{}) (idle bool) {
	ticker := time.NewTicker(idleInterval)
	defer ticker.Stop()
	half := j.half
	for {
		select {
		case <-stop:
			return false
		case <-stopping:
			j.end()
			return false
		case <-half:
			half = nil
			ticker.Reset(halfInterval)
		case now := <-ticker.C:
			if now.UnixNano()-j.moved.Load() > 2*j.every.Load() {
				return true
			}
		}
	}
}

// flow copies one way. At the end of from it tells so to, and goes; after a
// failure it ends both ways.
func (j *joint) flow(to, from net.Conn, count *atomic.Uint64) {
	for {
		// The deadline is only there to count from time to time.
		every := j.every.Load()
		_ = from.SetReadDeadline(time.Now().Add(time.Duration(every)))
		if j.every.Load() != every {
			continue // the other way has just ended, and may have set its deadline before this one
		}
		n, err := io.Copy(to, from)
		count.Add(uint64(n)) // #nosec G115 -- io.Copy counts from 0
		if n > 0 {
			j.moved.Store(time.Now().UnixNano())
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			continue
		}
		half, ok := to.(interface{ CloseWrite() error })
		if err != nil || !ok || half.CloseWrite() != nil {
			j.end()
		} else if j.finished.Add(1) == 1 {
			j.moved.Store(time.Now().UnixNano())
			j.every.Store(int64(halfInterval))
			_ = to.SetReadDeadline(time.Now()) // the other way counts, and goes on
			close(j.half)
		}
		return
	}
}
