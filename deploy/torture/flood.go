package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"wellkey/internal/pause"
)

// source returns an address of its own for the nth attacker, and where it connects
// to: IPv4 and IPv6 in turns, or one of loopback.
func source(n int, loopback bool) (from, to string) {
	switch {
	case loopback:
		return fmt.Sprintf("127.1.%d.%d", n/250, 1+n%250), private
	case n%2 == 0:
		return fmt.Sprintf("198.18.%d.%d", 1+n/500, 1+n/2%250), public4
	default:
		return fmt.Sprintf("2001:db8:1:%x::1", n), public6
	}
}

// idle opens connections, finishes the handshake of every fourth, and lets all of
// them lie for a while.
func idle(ctx context.Context, t *aim, connections int, loopback bool, span time.Duration) (string, error) {
	return lie(ctx, t, connections, span, func(n int) (net.Conn, error) {
		from, to := source(n, loopback)
		if n%4 == 0 {
			return t.secure(ctx, from, to, "h2", "http/1.1")
		}
		return t.dial(ctx, from, to, t.Port)
	})
}

// idlePlain does so on the port of HTTP.
func idlePlain(ctx context.Context, t *aim, connections int, span time.Duration) (string, error) {
	return lie(ctx, t, connections, span, func(n int) (net.Conn, error) {
		from, to := source(n, false)
		return t.dial(ctx, from, to, t.Plain)
	})
}

// longHellos begins handshakes with as much of a ClientHello as a server takes.
func longHellos(ctx context.Context, t *aim, connections int, span time.Duration) (string, error) {
	var words []byte
	for n := range 4 {
		record := make([]byte, 16<<10)
		if n == 0 {
			copy(record, []byte{1, 0, 0xff, 0xff}) // a ClientHello of 65,535 bytes
		}
		words = append(append(words, 22, 3, 1, 16<<10>>8, 0), record...)
	}
	words = words[:60_000]
	return lie(ctx, t, connections, span, func(n int) (net.Conn, error) {
		from, to := source(n, false)
		conn, err := t.dial(ctx, from, to, t.Port)
		if err == nil {
			_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
			_, _ = conn.Write(words) // it may be closed before the end
		}
		return conn, err
	})
}

// lie opens connections in the way of open, and lets them lie.
func lie(ctx context.Context, t *aim, connections int, span time.Duration, open func(n int) (net.Conn, error)) (string, error) {
	var mu sync.Mutex
	var conns []net.Conn
	var opened atomic.Int64
	var all errgroup.Group
	all.SetLimit(32)
	for n := range connections {
		all.Go(func() error {
			conn, err := open(n)
			if err != nil {
				if !turnedAway(err) {
					return err
				}
				return nil // before it was secure
			}
			opened.Add(1)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
			return nil
		})
	}
	err := errors.Join(all.Wait(), enough("opened", opened.Load(), connections))
	_ = pause.For(ctx, span) // what there is to tell is told where ctx has ended, too
	series, seriesErr := t.series(ctx)
	for _, conn := range conns {
		_ = conn.Close() // most of them are
	}
	return fmt.Sprintf("%d were opened; %.0f to 443 and %.0f to 80 are open at the end", opened.Load(),
		series[`wellkey_connections{listener="https"}`], series[`wellkey_connections{listener="http"}`]), errors.Join(err, seriesErr)
}

// enough returns an error where so few of all connections became what they were to be
// that it was no attack.
func enough(what string, got int64, connections int) error {
	if got < max(1, int64(connections/10)) {
		return fmt.Errorf("%d of %d connections were %s, which is no attack", got, connections, what)
	}
	return nil
}

// turnedAway reports whether err is what wellkey does to a newcomer that it does not
// want: it closes the connection, lets it wait, or says so. All else is a fault of the
// attackers, such as an address that they do not have.
func turnedAway(err error) bool {
	said, ok := errors.AsType[*net.OpError](err)
	alert := ok && said.Op == "remote error" // as crypto/tls calls it
	return alert || cut(err) || errors.Is(err, syscall.ECONNREFUSED)
}

// ended reports whether err says that a connection is over, or that there is no port
// left for another.
func ended(err error) bool {
	return cut(err) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.EADDRINUSE)
}

// cut reports whether err says that the other end closed a connection, or that it let
// it wait.
func cut(err error) bool {
	late, ok := errors.AsType[net.Error](err)
	return ok && late.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// hello returns a ClientHello.
func hello() ([]byte, error) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: domain, InsecureSkipVerify: true}).Handshake() // it fails, once its first words are read
		_ = near.Close()
	}()
	first := make([]byte, 16<<10)
	n, err := far.Read(first)
	return first[:n], err
}

// each has workers, as many as seldom wait for each other, do something until the
// time is over. It returns how often they did.
func each(ctx context.Context, workers int, span time.Duration, do func(ctx context.Context, n int) error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	var done atomic.Int64
	all, ctx := errgroup.WithContext(ctx)
	for range workers {
		all.Go(func() error {
			for ctx.Err() == nil {
				if err := do(ctx, int(done.Add(1))); err != nil && !ended(err) && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
	err := all.Wait()
	return int(done.Load()), err
}

// hellos has wellkey work on handshakes that nobody wants to finish.
func hellos(ctx context.Context, t *aim, addresses int, span time.Duration) (string, error) {
	words, err := hello()
	if err != nil {
		return "", err
	}
	var answered atomic.Int64
	count, err := each(ctx, 64, span, func(ctx context.Context, n int) error {
		from, to := source(2*(n%addresses), false) // IPv4
		conn, err := t.dial(ctx, from, to, t.Port)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }() // it is not wanted any more
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := conn.Write(words); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1))
		if err == nil {
			answered.Add(1)
		}
		return err
	})
	return fmt.Sprintf("%d a second, of which %d were worked on", rate(count, span), rate(int(answered.Load()), span)), err
}

func rate(n int, span time.Duration) int { return int(float64(n) / span.Seconds()) }

// once makes connections that say something, and waits for the end of each, which
// has to come within patience.
func once(ctx context.Context, t *aim, connections int, patience time.Duration, words func(n int) []byte) (string, error) {
	var answered, closed atomic.Int64
	var all errgroup.Group
	all.SetLimit(64)
	for n := range connections {
		all.Go(func() error {
			from, to := source(n, false)
			conn, err := t.dial(ctx, from, to, t.Port)
			switch {
			case err == nil:
			case turnedAway(err):
				return nil
			default:
				return err
			}
			defer func() { _ = conn.Close() }() // it is closed already
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = conn.Write(words(n)) // it may be closed before the end
			answer, err := io.ReadAll(io.LimitReader(conn, 4<<10))
			if len(answer) > 0 {
				answered.Add(1)
			}
			if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
				return fmt.Errorf("connection %d is still open after %v", n, patience)
			}
			closed.Add(1)
			return nil
		})
	}
	err := errors.Join(all.Wait(), enough("closed", closed.Load(), connections))
	return fmt.Sprintf("%d were closed, %d with a word", closed.Load(), answered.Load()), err
}

// garbage sends what is no TLS.
func garbage(ctx context.Context, t *aim, connections int, patience time.Duration) (string, error) {
	random := rand.NewChaCha8([32]byte{1})
	var mu sync.Mutex
	return once(ctx, t, connections, patience, func(n int) []byte {
		mu.Lock()
		defer mu.Unlock()
		words := make([]byte, 1+n%4096)
		_, _ = random.Read(words) // it never fails
		if n%3 == 0 && len(words) > 5 {
			copy(words, []byte{22, 3, 1, 0, 4}) // it looks like a handshake
		}
		return words
	})
}

// plaintext speaks HTTP where HTTPS is spoken.
func plaintext(ctx context.Context, t *aim, connections int, patience time.Duration) (string, error) {
	return once(ctx, t, connections, patience, func(int) []byte { return []byte("GET / HTTP/1.1\r\nHost: " + domain + "\r\n\r\n") })
}
