package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"wellkey/internal/pause"
)

// idleAttacks returns what clients do that open connections and let them lie, some after
// they said something.
func idleAttacks(connections int, span time.Duration) []attack {
	few := connections * 2 / 5 // wellkey holds half as many
	fields := tinyFields()
	return []attack{
		{name: fmt.Sprintf("%d idle connections, each from an address or IPv6 /64 of its own", connections), do: func(ctx context.Context, t *aim) (string, error) {
			return idle(ctx, t, connections, false, span)
		}},
		{name: fmt.Sprintf("%d idle connections from 127.0.0.0/8", connections), do: func(ctx context.Context, t *aim) (string, error) {
			return idle(ctx, t, connections, true, span)
		}},
		{name: fmt.Sprintf("%d handshakes that claim to be long, and stay without an end", connections), do: func(ctx context.Context, t *aim) (string, error) {
			return longHellos(ctx, t, connections, span)
		}},
		{name: fmt.Sprintf("%d idle connections to port 80", connections), do: func(ctx context.Context, t *aim) (string, error) {
			return idlePlain(ctx, t, connections, span)
		}},
		{name: fmt.Sprintf("%d headers of %d tiny fields without an end on 443, and as many on 80", few, strings.Count(fields, "\n")-1), do: func(ctx context.Context, t *aim) (string, error) {
			return lie(ctx, t, 2*few, span, func(n int) (conn net.Conn, err error) {
				from, to := source(n/2, false)
				if n%2 == 0 {
					conn, err = t.secure(ctx, from, to, "http/1.1")
				} else {
					conn, err = t.dial(ctx, from, to, t.Plain)
				}
				if err == nil {
					say(conn, fields)
				}
				return conn, err
			})
		}},
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
			say(conn, string(words))
		}
		return conn, err
	})
}

// tinyFields returns the beginning of a request, with as many fields as fit into what
// wellkey reads of a header: 8 KiB, and 4 KiB that net/http adds. All have other names, and
// none has an end by CR LF, so that each takes five bytes at the most.
func tinyFields() string {
	const most = 12<<10 - 100
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"
	var b strings.Builder
	b.WriteString("GET / HTTP/1.1\nHost:" + domain + "\n")
	for n := 0; b.Len() < most; n++ {
		a, z := letters[n/len(letters)%len(letters)], letters[n%len(letters)]
		b.WriteByte(a)
		b.WriteByte(z)
		if n >= len(letters)*len(letters) {
			b.WriteByte('x')
		}
		b.WriteString(":\n")
	}
	return b.String()
}

// say says something, which wellkey may not hear to the end.
func say(conn net.Conn, words string) {
	_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
	_, _ = conn.Write([]byte(words)) // it may be closed before the end
}

// lie opens connections in the way of open, and lets them lie.
func lie(ctx context.Context, t *aim, connections int, span time.Duration, open func(n int) (net.Conn, error)) (string, error) {
	var mu sync.Mutex
	var conns []net.Conn
	var opened atomic.Int64
	var all errgroup.Group
	all.SetLimit(32)
	stop := t.most(ctx)
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
	err := errors.Join(all.Wait(), t.nearlyAll("opened", opened.Load(), connections))
	_ = pause.For(ctx, span) // what there is to tell is told where ctx has ended, too
	now, nowErr := t.holds(ctx)
	most, _, mostErr := stop()
	for _, conn := range conns {
		hangUp(conn)
	}
	return fmt.Sprintf("%d were opened; %.0f to 443 and %.0f to 80 at a time at the most, %.0f and %.0f at the end", opened.Load(),
		most.https, most.http, now.https, now.http), errors.Join(err, nowErr, mostErr)
}
