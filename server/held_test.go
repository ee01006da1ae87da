package server_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/server"
)

// While a write hangs, so much is read and no more; when it has ended, all is read.
func TestReadsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = near.Close(); _ = far.Close() }()
		held := server.NewConnections(1, 1, 1).Hold(near)
		written := make(chan error, 1)
		go func() {
			_, err := held.Write(make([]byte, 2))
			written <- err
		}()
		_, err := far.Read(make([]byte, 1)) // it is under way
		must(t, err)
		const all = 10 * server.MostAhead
		go func() { _, _ = far.Write(make([]byte, all)) }()
		read := 0
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for buffer := make([]byte, 512); read < all; {
				n, err := held.Read(buffer)
				if read += n; err != nil {
					t.Error(err)
					return
				}
			}
		}()
		synctest.Wait()
		if read != server.MostAhead {
			t.Errorf("%d bytes are read while an answer is not, want %d", read, server.MostAhead)
		}
		_, err = far.Read(make([]byte, 1))
		must(t, err)
		must(t, <-written)
		<-ended
		if read != all {
			t.Errorf("%d bytes are read in the end, want %d", read, all)
		}
	})
}

// What an application takes of a body is read while a write hangs, too.
func TestReadsBodiesAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = near.Close(); _ = far.Close() }()
		held, _, takes := server.NewConnections(1, 1, 1).HoldMany(near)
		go func() { _, _ = held.Write(make([]byte, 2)) }()
		_, err := far.Read(make([]byte, 1)) // it is under way
		must(t, err)
		const all = 10 * server.MostAhead
		go func() { _, _ = far.Write(make([]byte, all)) }()
		buffer := make([]byte, all)
		var taking sync.WaitGroup
		for read := 0; read < all; {
			n, err := held.Read(buffer)
			must(t, err)
			read += n
			taking.Go(func() {
				time.Sleep(time.Millisecond) // when it is waited for
				takes(n)
			})
		}
		taking.Wait()
	})
}

// A connection that is closed keeps nobody waiting.
func TestReadsAheadUntilClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer func() { _ = far.Close() }()
		held := server.NewConnections(1, 1, 1).Hold(near)
		go func() { _, _ = held.Write(make([]byte, 2)) }()
		_, err := far.Read(make([]byte, 1))
		must(t, err)
		go func() { _, _ = far.Write(make([]byte, 2*server.MostAhead)) }()
		ended := make(chan error)
		go func() {
			_, err := io.Copy(io.Discard, held)
			ended <- err
		}()
		synctest.Wait()
		must(t, held.Close())
		if err := <-ended; err == nil {
			t.Error("it was read to an end that never came")
		}
	})
}

// What a client of HTTP/2 says beside its requests is read no faster than it may be
// said; what requests need is no part of that, nor what an application takes of bodies, nor
// that it may go on with its answer.
func TestIdleTalk(t *testing.T) {
	const times = 10
	for name, tc := range map[string]struct {
		asks, takes, answers bool
		others               int // who are let wait meanwhile
		want                 time.Duration
	}{"nothing else": {want: (times - 2) * server.IdleTalk}, "many talk": {others: 3*server.ManyTalk - 1, want: 3 * (times - 2) * server.IdleTalk}, "requests": {asks: true}, "bodies": {takes: true}, "large answers": {answers: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer func() { _ = near.Close(); _ = far.Close() }()
				c := server.NewConnections(1, 1, 1)
				c.Tire(tc.others)
				held, asks, takes := c.HoldMany(near)
				time.Sleep(time.Second) // so that no time is 0
				go func() { _, _ = far.Write(make([]byte, times*server.MostIdleTalk)) }()
				go func() { _, _ = io.Copy(io.Discard, far) }()
				began := time.Now()
				buffer := make([]byte, server.MostIdleTalk/8)
				for read := 0; read < times*server.MostIdleTalk; {
					if tc.asks {
						asks() // that is more than the buffer
					}
					n, err := held.Read(buffer)
					must(t, err)
					if read += n; tc.takes {
						go takes(n - n/server.PerFrame) // while more is read; the rest is frames
					}
					if tc.answers {
						_, err := held.Write(make([]byte, server.PerThanks*n))
						must(t, err)
					}
				}
				if took := time.Since(began); took != tc.want {
					t.Errorf("it took %v, want %v", took, tc.want)
				}
			})
		})
	}
}

// Who is let wait for having said much waits no more when its connection is closed, or its
// place lost.
func TestTalksUntilClosed(t *testing.T) {
	for name, end := range map[string]func(server.Connections, net.Conn){
		"by us": func(_ server.Connections, held net.Conn) { must(t, held.Close()) },
		"for another": func(c server.Connections, _ net.Conn) {
			if reason := c.Admit(from("192.0.2.1"), c.Now()); reason != "" {
				t.Errorf("the other is refused: %s", reason)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer func() { _ = far.Close() }()
				c := server.NewConnections(1, 1, 0)
				const others = 3 * server.ManyTalk
				c.Tire(others)
				held, _, _ := c.HoldMany(near)
				time.Sleep(time.Second)
				go func() { _, _ = far.Write(make([]byte, 4*server.MostIdleTalk)) }()
				ended := make(chan error)
				go func() {
					_, err := io.Copy(io.Discard, held)
					ended <- err
				}()
				synctest.Wait()
				if got := c.Tiring(); got != others+1 {
					t.Fatalf("%d wait, want %d", got, others+1)
				}
				began := time.Now()
				end(c, held)
				if err := <-ended; !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, net.ErrClosed) {
					t.Errorf("got %v", err)
				}
				if got, took := c.Tiring(), time.Since(began); got != others || took != 0 {
					t.Errorf("after %v, %d wait, want %d at once", took, got, others)
				}
			})
		})
	}
}

// So many may ask and read no answers, and one more has the place of another. A place is
// free again when one of them reads.
func TestUnreadAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const all = server.MostUnread + 2
		lost, ends := make(chan string, all), make(chan error, all)
		c := server.NewConnections(all, 1, 1)
		c.OnDisplaced(func(what string) { lost <- what })
		var clients []net.Conn
		ask := func() {
			near, far := net.Pipe()
			held := c.Hold(near)
			go func() { _, _ = held.Write(make([]byte, 2)) }()
			_, err := far.Read(make([]byte, 1)) // it is under way
			must(t, err)
			go func() { _, _ = far.Write(make([]byte, server.MostAhead+1)) }()
			go func() {
				_, err := io.Copy(io.Discard, held)
				ends <- err
				_ = near.Close()
			}()
			clients = append(clients, far)
		}
		for range server.MostUnread {
			ask()
		}
		synctest.Wait()
		if len(ends) > 0 || len(lost) > 0 {
			t.Fatalf("of the %d that may wait, %d have ended", server.MostUnread, len(ends))
		}
		ask()
		if err := <-ends; !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("the first ends with %v", err)
		}
		if what := <-lost; what != "unread" {
			t.Errorf("it is counted as %q", what)
		}
		if _, err := clients[0].Read(make([]byte, 1)); err == nil {
			t.Error("its connection stays open")
		}
		_, err := clients[1].Read(make([]byte, 1))
		must(t, err)
		synctest.Wait()
		ask()
		synctest.Wait()
		if len(ends) > 0 || len(lost) > 0 {
			t.Error("the place of one that reads is not free")
		}
		for _, client := range clients {
			_ = client.Close()
		}
	})
}

// A handshake in which the client says more than any client has to say is ended, and
// counted, before much of it is held.
func TestLongHello(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	conn, err := net.Dial("tcp", s.HTTPSAddr())
	must(t, err)
	defer func() { _ = conn.Close() }()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	// A ClientHello of 60,000 bytes, in records of 10,000, of which the last is missing.
	var hello []byte
	for n := range 5 {
		hello = append(hello, 22, 3, 1, 10_000>>8, 10_000&0xff)
		part := make([]byte, 10_000)
		if n == 0 {
			copy(part, []byte{1, 0, (60_000 - 4) >> 8, (60_000 - 4) & 0xff})
		}
		hello = append(hello, part...)
	}
	if len(hello) < server.MostEarly {
		t.Fatal("it is not long")
	}
	_, _ = conn.Write(hello) // it may be closed before the end
	await(t, "that it is counted", func() bool {
		return series(t, registryOf(config))[`wellkey_tls_handshake_errors_total{reason=too_long}`] == 1
	})
	if _, err := io.Copy(io.Discard, conn); err != nil && !closed(err) { // an alert may come first
		t.Errorf("got %v, want the end", err)
	}
	secured, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain})
	must(t, err)
	must(t, secured.Close())
}
