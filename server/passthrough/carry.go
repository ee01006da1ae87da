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
	end := func() {
		_ = here.Close()
		_ = there.Close()
	}
	stop := make(chan struct{})
	defer close(stop)
	moved := new(atomic.Int64)
	moved.Store(time.Now().UnixNano())
	go p.config.Panics.Do(func() { // it ends with both copies
		ticker := time.NewTicker(p.interval)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-p.places.Context().Done():
				end()
				return
			case now := <-ticker.C:
				if now.UnixNano()-moved.Load() > 2*int64(p.interval) {
					t.failed(reasonIdle)
					end()
					return
				}
			}
		}
	})
	back := make(chan struct{})
	go func() {
		defer close(back)
		if p.config.Panics.Do(func() { p.flow(here, there, &t.out, moved, end) }) {
			end()
		}
	}()
	p.flow(there, here, &t.in, moved, end)
	<-back
}

// flow copies one way. At the end of from it tells so to, and goes; after a
// failure it ends both ways.
func (p *Passthrough) flow(to, from net.Conn, count *atomic.Uint64, moved *atomic.Int64, end func()) {
	for {
		// The deadline is only there to count from time to time.
		_ = from.SetReadDeadline(time.Now().Add(p.interval))
		n, err := io.Copy(to, from)
		count.Add(uint64(n)) // #nosec G115 -- io.Copy counts from 0
		if n > 0 {
			moved.Store(time.Now().UnixNano())
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			continue
		}
		half, ok := to.(interface{ CloseWrite() error })
		if err != nil || !ok || half.CloseWrite() != nil {
			end()
		}
		return
	}
}
