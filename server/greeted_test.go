package server_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"wellkey/server"
)

const places = 1024

// A flood is of connections that are left to lie.
type flood struct {
	c       server.Connections
	network string // where the next one is from, with a number in it
	of      int    // how many there are
	every   time.Duration
	greets  bool // with a ClientHello
	n       int
	now     time.Duration
	refused int
}

// until goes on with it for so long.
func (f *flood) until(end time.Duration) {
	for ; f.now < end; f.now += f.every {
		conn := from(fmt.Sprintf(f.network, f.n%f.of))
		if f.n++; f.c.Admit(conn, f.now) != "" {
			f.refused++
		} else if f.greets {
			f.c.Advance(conn, f.now)
		}
	}
}

// A visitor from far away is served among clients that open connections and say nothing,
// however many come: its ClientHello is there at once, and what follows after a round trip,
// or after two in TLS 1.2.
func TestFarVisitor(t *testing.T) {
	const roundTrip = 300 * time.Millisecond
	for name, f := range map[string]*flood{
		"5,000 a second from 105 addresses": {network: "192.0.2.%d", of: 105, every: 200 * time.Microsecond},
		"5,000 a second from many networks": {network: "2001:db8:0:%x::", of: 1 << 16, every: 200 * time.Microsecond},
		"10,000 a second":                   {network: "2001:db8:0:%x::", of: 1 << 16, every: 100 * time.Microsecond},
	} {
		t.Run(name, func(t *testing.T) {
			f.c = server.NewConnections(places, 64, 50)
			f.until(places*f.every + 100*time.Millisecond) // it is full
			visitor := &closing{stub: from("198.18.0.1")}
			for f.c.Admit(visitor, f.now) != "" { // where all have just come, it comes again
				f.until(f.now + time.Millisecond)
			}
			for range 2 {
				f.c.Advance(visitor, f.now)
				f.until(f.now + roundTrip)
			}
			if visitor.closed {
				t.Error("its place was lost")
			}
		})
	}
}

// A flood of ClientHellos has the places of its own.
func TestManyGreet(t *testing.T) {
	f := &flood{network: "2001:db8:0:%x::", of: 1 << 16, every: 200 * time.Microsecond, greets: true}
	f.c = server.NewConnections(places, 64, 50)
	f.until(time.Second)
	if f.refused > 0 {
		t.Errorf("%d of %d newcomers were turned away", f.refused, f.n)
	}
}

// Who has begun a handshake is waited for anew from then on, and from its end.
func TestGreeted(t *testing.T) {
	const long = time.Hour
	config, certs := configure(t)
	s := start(t, config)
	silent, err := net.Dial("tcp", s.HTTPSAddr())
	must(t, err)
	defer func() { _ = silent.Close() }()
	conn, err := net.Dial("tcp", s.HTTPSAddr())
	must(t, err)
	answers := &beforeWrite{Conn: conn}
	writes := 0
	answers.do = func() {
		if writes++; writes == 1 {
			await(t, "both", func() bool { return s.Open() == 2 })
			s.WaitUntil(-long)
			return
		}
		if clients, longest := s.Greeted(); clients != 1 || longest >= long {
			t.Errorf("after a ClientHello: %d clients, one for %v", clients, longest)
		}
		s.WaitUntil(-long)
		answers.do = func() {}
	}
	secured := tls.Client(answers, &tls.Config{RootCAs: certs.roots, ServerName: domain, NextProtos: []string{"http/1.1"}})
	defer func() { _ = secured.Close() }()
	must(t, secured.Handshake())
	await(t, "the end of the handshake", func() bool {
		clients, longest := s.Greeted()
		return clients == 1 && longest < long
	})
}

// A beforeWrite does something before each write.
type beforeWrite struct {
	net.Conn
	do func()
}

func (b *beforeWrite) Write(p []byte) (int, error) {
	b.do()
	return b.Conn.Write(p)
}
