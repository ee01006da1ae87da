package server_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/server"
)

// Handshakes are worked on a few at a time. Whose address has none waiting goes
// first, and what was waited for in vain goes on without.
func TestLine(t *testing.T) {
	l := server.NewLine(1)
	first := l.Join("192.0.2.1")
	if !first.Comes() {
		t.Fatal("the first has to wait")
	}
	var many []*server.Turn
	for range 3 {
		many = append(many, l.Join("192.0.2.1"))
	}
	other, second, private := l.Join("192.0.2.2"), l.Join("192.0.2.2"), l.Join("10.0.0.1")
	order := []*server.Turn{many[0], other, private, many[1], many[2], second}
	for n, next := range order {
		for _, later := range order[n:] {
			if later.Has() {
				t.Fatalf("turn %d was given while another had it", n)
			}
		}
		if n == 0 {
			first.Leave()
			first.Leave() // twice is once
		} else {
			order[n-1].Leave()
		}
		if !next.Comes() {
			t.Fatalf("turn %d was given to another", n)
		}
	}
	order[len(order)-1].Leave()
	if last := l.Join("192.0.2.3"); !last.Comes() {
		t.Error("a turn was lost")
	}
}

// Reading, writing and closing end a turn: who waits for a client has none.
func TestTurnsEnd(t *testing.T) {
	for name, do := range map[string]func(net.Conn){
		"read":  func(c net.Conn) { _ = c.SetDeadline(time.Now()); _, _ = c.Read(make([]byte, 1)) },
		"write": func(c net.Conn) { _ = c.SetDeadline(time.Now()); _, _ = c.Write(make([]byte, 1)) },
		"close": func(c net.Conn) { _ = c.Close() },
	} {
		l := server.NewLine(1)
		first := l.Join("192.0.2.1")
		if !first.Comes() {
			t.Fatal("the first has to wait")
		}
		do(first.Conn())
		if !l.Join("192.0.2.1").Comes() {
			t.Errorf("%s keeps the turn", name)
		}
	}
}

// A handshake whose turn does not come ends, and takes nobody's turn with it.
func TestTurnThatDoesNotCome(t *testing.T) {
	l := server.NewLine(1)
	l.Patience(time.Millisecond)
	first := l.Join("192.0.2.1")
	if !first.Comes() {
		t.Fatal("the first has to wait")
	}
	if err := l.Join("192.0.2.2").Err(); err == nil || err.Error() != "too many handshakes at a time" {
		t.Errorf("got %v", err)
	}
	first.Leave()
	if !l.Join("192.0.2.2").Comes() {
		t.Error("the turn went to somebody who had gone")
	}
}

// Who waits no more is nowhere in the line, however long turns go to others.
func TestNobodyIsLeftInTheLine(t *testing.T) {
	l := server.NewLine(1)
	has := l.Join("192.0.2.1")
	l.Patience(time.Nanosecond)
	for range 100 {
		var gone []*server.Turn
		for range 3 { // in either lane
			gone = append(gone, l.Join("192.0.2.2"))
		}
		for _, one := range gone {
			if one.Comes() {
				t.Fatal("a turn came that somebody else has")
			}
		}
	}
	if n := l.Standing(); n != 0 {
		t.Errorf("%d stand in the line and wait no more", n)
	}
	has.Leave()
}

// A handshake that lost its place stands in the line no more, wherever it was when it did.
func TestDisplacedInTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const places = 4
		l, c := server.NewLine(1), server.NewConnections(places, places, 0)
		has := l.Join("192.0.2.1")
		admit := func(network, host int, at time.Duration) net.Conn {
			conn := from(fmt.Sprintf("192.0.%d.%d", network, host))
			if reason := c.Admit(conn, at); reason != "" {
				t.Fatalf("refused: %s", reason)
			}
			return conn
		}
		late := admit(2, places, 0)
		var lost []*server.Turn
		for n := range places - 1 {
			lost = append(lost, l.JoinAs(c, admit(2, n, 0)))
		}
		synctest.Wait() // they wait
		began := time.Now()
		for n := range places {
			admit(3, n, time.Second)
		}
		lost = append(lost, l.JoinAs(c, late))
		for n, one := range lost {
			if err := one.Err(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("number %d ends with %v", n, err)
			}
		}
		if n, took := l.Standing(), time.Since(began); n != 0 || took != 0 {
			t.Errorf("after %v, %d stand in the line, want none at once", took, n)
		}
		living := l.Join("192.0.2.2")
		has.Leave()
		if !living.Comes() {
			t.Error("the turn went to somebody who had lost its place")
		}
	})
}
