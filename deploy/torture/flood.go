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

// enough returns an error where so few of all connections became what they were to be
// that it was no attack.
func enough(what string, got int64, connections int) error {
	if got < max(1, int64(connections/10)) {
		return fmt.Errorf("%d of %d connections were %s, which is no attack", got, connections, what)
	}
	return nil
}

// nearlyAll is enough, but wants nine of ten: of what wellkey lets happen to all of them.
// Where it is to be fast it is enough, since the machine may be busy with other things.
func (a *aim) nearlyAll(what string, got int64, connections int) error {
	if least := (connections*9 + 9) / 10; !a.Fast && got < int64(least) {
		return fmt.Errorf("%d of %d connections were %s, and %d are the least", got, connections, what, least)
	}
	return enough(what, got, connections)
}

// turnedAway reports whether err is what wellkey does to a newcomer that it does not
// want: it closes the connection, lets it wait, or says so. All else is a fault of the
// attackers, such as an address that they do not have.
func turnedAway(err error) bool {
	return alerted(err) || cut(err) || errors.Is(err, syscall.ECONNREFUSED)
}

// alerted reports whether err is an alert of TLS from the other end.
func alerted(err error) bool {
	said, ok := errors.AsType[*net.OpError](err)
	return ok && said.Op == "remote error" // as crypto/tls calls it
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
// time is over.
func each(ctx context.Context, workers int, span time.Duration, do func(ctx context.Context, n int) error) error {
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	var begun atomic.Int64
	all, ctx := errgroup.WithContext(ctx)
	for range workers {
		all.Go(func() error {
			for ctx.Err() == nil {
				if err := do(ctx, int(begun.Add(1))); err != nil && !ended(err) && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// floodPace is how many connections a second a flood is to have that has no other pace.
const floodPace = 1000

// enoughFlood returns an error where not nearly all of pace connections a second were made
// in span.
func (a *aim) enoughFlood(made int64, pace int, span time.Duration) error {
	return a.nearlyAll("made", made, int(float64(pace)*span.Seconds()))
}

// hellos has wellkey work on handshakes that nobody wants to finish.
func hellos(ctx context.Context, t *aim, addresses int, span time.Duration) (string, error) {
	words, err := hello()
	if err != nil {
		return "", err
	}
	var made, answered atomic.Int64
	err = each(ctx, 64, span, func(ctx context.Context, n int) error {
		from, to := source(2*(n%addresses), false) // IPv4
		conn, err := t.dial(ctx, from, to, t.Port)
		if err != nil {
			return err
		}
		made.Add(1)
		defer reset(conn)
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
	return fmt.Sprintf("%d a second, of which %d were worked on", rate(made.Load(), span), rate(answered.Load(), span)), errors.Join(err, t.enoughFlood(made.Load(), floodPace, span))
}

// reset ends a connection so that its port is free at once.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close() // it may be closed already
}

// hangUp closes a connection without the last words of TLS, which wait for five seconds
// where the other end does not read.
func hangUp(conn net.Conn) {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	_ = conn.Close() // it is closed already, or not wanted
}

// mostSilent is how many connections the attackers keep, since they have so many
// descriptors; wellkey has closed older ones by then.
const mostSilent = 8192

// silent opens connections at a pace, 0 being as fast as it goes, waits for nothing, and
// keeps them open. Each begins a handshake, or says nothing at all.
func silent(ctx context.Context, t *aim, pace int, begins bool, span time.Duration) (string, error) {
	words, err := hello()
	if err != nil {
		return "", err
	}
	var mu sync.Mutex
	var kept [mostSilent]net.Conn
	defer func() {
		for _, conn := range kept {
			if conn != nil {
				reset(conn)
			}
		}
	}()
	var made atomic.Int64
	began := time.Now()
	err = each(ctx, 64, span, func(ctx context.Context, n int) error {
		if pace > 0 {
			due := began.Add(time.Duration(n) * time.Second / time.Duration(pace))
			if err := pause.For(ctx, time.Until(due)); err != nil {
				return err
			}
		}
		from, to := source(2*(n%2000), false) // IPv4
		conn, err := t.dial(ctx, from, to, t.Port)
		if err != nil {
			return err
		}
		made.Add(1)
		if begins {
			_, _ = conn.Write(words) // it may be closed already
		}
		mu.Lock()
		before := kept[n%mostSilent]
		kept[n%mostSilent] = conn
		mu.Unlock()
		if before != nil {
			reset(before)
		}
		return nil
	})
	saw := fmt.Sprintf("%d a second", rate(made.Load(), span))
	if now, err := t.holds(ctx); err == nil {
		saw += fmt.Sprintf(", %.0f are held at the end", now.https)
	}
	if pace == 0 {
		pace = floodPace
	}
	return saw, errors.Join(err, t.enoughFlood(made.Load(), pace, span))
}

func rate(n int64, span time.Duration) int { return int(float64(n) / span.Seconds()) }

// once makes connections that say something, and waits for the end of each, which
// has to come within patience. They are as many at the least, and more until span is over.
func once(ctx context.Context, t *aim, connections int, span, patience time.Duration, words func(n int) []byte) (string, error) {
	var begun, answered, closed atomic.Int64
	until := time.Now().Add(span)
	var all errgroup.Group
	one := func(n int) error {
		from, to := source(n%100_000, false)
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
	}
	for range 64 {
		all.Go(func() error {
			for n := int(begun.Add(1)); ctx.Err() == nil && (n <= connections || time.Now().Before(until)); n = int(begun.Add(1)) {
				if err := one(n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := errors.Join(all.Wait(), t.nearlyAll("closed", closed.Load(), connections))
	return fmt.Sprintf("%d were closed, %d with a word", closed.Load(), answered.Load()), err
}

// garbage sends what is no TLS.
func garbage(ctx context.Context, t *aim, connections int, span, patience time.Duration) (string, error) {
	random := rand.NewChaCha8([32]byte{1})
	var mu sync.Mutex
	return once(ctx, t, connections, span, patience, func(n int) []byte {
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
func plaintext(ctx context.Context, t *aim, connections int, span, patience time.Duration) (string, error) {
	return once(ctx, t, connections, span, patience, func(int) []byte { return []byte("GET / HTTP/1.1\r\nHost: " + domain + "\r\n\r\n") })
}
