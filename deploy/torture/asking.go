package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"wellkey/internal/pause"
)

// askingAttacks returns what clients do that say what they may, but too much of it at
// once, or too slowly, or at the wrong time.
func askingAttacks(o options, span time.Duration) []attack {
	connections := o.few(1000)
	ahead := strings.Repeat(keyRequest, 20)
	return []attack{
		{name: fmt.Sprintf("HTTP/1.1 with 20 requests at once, %d connections, answers unread", connections), do: func(ctx context.Context, t *aim) (string, error) {
			return busy(ctx, t, connections, span, "http/1.1", func(conn net.Conn) error { return again(conn, ahead) })
		}},
		{name: "HTTP/1.1 with 20 requests at once, 64 connections, answers read", do: func(ctx context.Context, t *aim) (string, error) {
			return busy(ctx, t, 64, span, "http/1.1", func(conn net.Conn) error {
				ended := make(chan struct{})
				go func() { // it ends by the deadline of conn, or with it
					defer close(ended)
					_, _ = io.Copy(io.Discard, conn)
				}()
				err := again(conn, ahead)
				<-ended
				return err
			})
		}},
		{name: fmt.Sprintf("HTTP/1.1 on %d connections, a request whenever they have come to rest", connections), do: func(ctx context.Context, t *aim) (string, error) {
			var rested atomic.Int64
			saw, err := busy(ctx, t, connections, span, "http/1.1", func(conn net.Conn) error { return askAtRest(ctx, conn, span, &rested) })
			return fmt.Sprintf("%s, %d answers after a rest", saw, rested.Load()), errors.Join(err, t.nearlyAll("answered after a rest", rested.Load(), connections))
		}},
		{name: fmt.Sprintf("%d handshakes in segments of one byte", connections), do: func(ctx context.Context, t *aim) (string, error) {
			words, err := hello()
			if err != nil {
				return "", err
			}
			return busy(ctx, t, connections, span, "", func(conn net.Conn) error {
				for n := 0; ; n++ {
					if _, err := conn.Write(words[n%len(words) : n%len(words)+1]); err != nil {
						return err
					}
					if err := pause.For(ctx, 30*time.Millisecond); err != nil {
						return err
					}
				}
			})
		}},
		{name: "connections from 2,000 addresses that are reset at once", do: func(ctx context.Context, t *aim) (string, error) {
			return resets(ctx, t, span)
		}},
	}
}

// resets opens connections and resets them at once.
func resets(ctx context.Context, t *aim, span time.Duration) (string, error) {
	var made atomic.Int64
	err := each(ctx, 64, span, func(ctx context.Context, n int) error {
		from, to := source(2*(n%2000), false)
		conn, err := t.dial(ctx, from, to, t.Port)
		if err != nil {
			return err
		}
		made.Add(1)
		reset(conn)
		return nil
	})
	return fmt.Sprintf("%d a second", rate(made.Load(), span)), errors.Join(err, t.enoughFlood(made.Load(), floodPace, span))
}

// again writes words without end.
func again(conn net.Conn, words string) error {
	for {
		if _, err := io.WriteString(conn, words); err != nil {
			return err
		}
	}
}

// atRest is the least time for which askAtRest asks: a few rests, however short the
// others are.
const atRest = 4 * time.Second

// askAtRest asks for the key, and again as soon as wellkey has put the connection aside,
// for span from now on, or atRest. It counts the answers after the first.
func askAtRest(ctx context.Context, conn net.Conn, span time.Duration, rested *atomic.Int64) error {
	_ = conn.SetDeadline(time.Now().Add(max(span, atRest)))
	reader := bufio.NewReader(conn)
	for first := true; ; first = false {
		if _, err := io.WriteString(conn, keyRequest); err != nil {
			return err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
		if !first {
			rested.Add(1)
		}
		if err := pause.For(ctx, 1100*time.Millisecond); err != nil { // it is put aside after a second
			return err
		}
	}
}

// busy opens connections, 32 of an address, over TLS where they are to speak a protocol,
// and has each do something until its deadline at the end of span. It tells how they
// ended.
func busy(ctx context.Context, t *aim, connections int, span time.Duration, protocol string, do func(net.Conn) error) (string, error) {
	until := time.Now().Add(span)
	opening := make(chan struct{}, 32)
	var open, closed, away atomic.Int64
	var all errgroup.Group
	for n := range connections {
		all.Go(func() error {
			opening <- struct{}{}
			from, to := source(2*(n/32), false)
			var conn net.Conn
			var err error
			if protocol == "" {
				conn, err = t.dial(ctx, from, to, t.Port)
			} else {
				conn, err = t.secure(ctx, from, to, protocol)
			}
			<-opening
			if err != nil {
				away.Add(1)
				if !turnedAway(err) {
					return err
				}
				return nil
			}
			defer hangUp(conn)
			_ = conn.SetDeadline(until)
			switch err := do(conn); {
			case errors.Is(err, os.ErrDeadlineExceeded):
				open.Add(1)
			case ended(err):
				closed.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	err := errors.Join(all.Wait(), t.nearlyAll("made", int64(connections)-away.Load(), connections))
	return fmt.Sprintf("%d open to the end, %d closed, %d turned away", open.Load(), closed.Load(), away.Load()), err
}
