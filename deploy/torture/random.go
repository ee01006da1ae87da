package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"wellkey/internal/testworld"
)

// atRandom sends requests and names at random to a wellkey that logs all of them. No
// series may come of that, and no control character may get into the log.
func atRandom(ctx context.Context, o options, dir string, r *report, say func(string, ...any)) (err error) {
	requests, names := o.few(100_000), o.few(5000)
	say("%d random requests", requests)
	t, err := start(ctx, o, dir, "LOG_LEVEL=debug")
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, t.stop())
		}
	}()
	// The look from outside has series of its own, once it has looked.
	looked := func(e testworld.Entry) bool { return e.Message == "key reachable from outside" }
	if _, err := t.process.Log.Await(ctx, looked); err != nil {
		return err
	}
	before, err := t.series(ctx)
	if err != nil {
		return err
	}
	var sent, answered atomic.Int64
	all, each := errgroup.WithContext(ctx)
	const workers = 8
	for n := range workers {
		all.Go(func() error {
			return requestsAtRandom(each, t, rand.New(rand.NewPCG(uint64(n), 7)), int64(requests), &sent, &answered)
		})
		all.Go(func() error { return namesAtRandom(each, t, rand.New(rand.NewPCG(uint64(n), 8)), names/workers) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	after, err := t.series(ctx)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, there := before[name]; !there {
			r.fault("random requests made the series %s", name)
		}
	}
	if n := after[`wellkey_panics_total{part="server"}`]; n > 0 {
		r.fault("%.0f panics by random requests", n)
	}
	stopped = true
	if err := t.stop(); err != nil {
		return err
	}
	lines := 0
	for line := range strings.Lines(t.process.Log.String()) {
		lines++
		if at := strings.IndexFunc(strings.TrimSuffix(line, "\n"), raw); at >= 0 {
			r.fault("a line of the log has a control character at %d: %q", at, line)
			break
		}
	}
	if lines < names/10 {
		r.fault("only %d lines of log for %d requests", lines, requests)
	}
	r.say("%d requests with random methods, paths, hosts and fields (%d were answered, the others had their connection closed) and %d random names in TLS: %d series at `/metrics` before and %d after, no control character in %d lines of log.",
		sent.Load(), answered.Load(), names, len(before), len(after), lines)
	return nil
}

// raw reports whether c must not be in a log as it is.
func raw(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || c == unicode.ReplacementChar
}

// requestsAtRandom sends its part of requests over few connections.
func requestsAtRandom(ctx context.Context, t *target, random *rand.Rand, requests int64, sent, answered *atomic.Int64) error {
	var conn net.Conn
	var reader *bufio.Reader
	drop := func() {
		if conn != nil {
			_ = conn.Close() // it is closed already, or not wanted
			conn = nil
		}
	}
	defer drop()
	for ctx.Err() == nil && sent.Add(1) <= requests {
		if conn == nil {
			var err error
			if random.IntN(4) == 0 {
				conn, err = t.dial(ctx, private, private, t.Plain)
			} else {
				conn, err = t.secure(ctx, private, private)
			}
			if err != nil {
				return err
			}
			reader = bufio.NewReader(conn)
		}
		_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
		method, text := request(random)
		if _, err := io.WriteString(conn, text); err != nil {
			drop()
			continue
		}
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			drop()
			continue
		}
		answered.Add(1)
		_, err = io.Copy(io.Discard, response.Body)
		if err != nil || response.Close || random.IntN(50) == 0 {
			drop()
		}
	}
	sent.Store(min(sent.Load(), requests))
	return ctx.Err()
}

// request returns a request of which any part may be anything.
func request(random *rand.Rand) (method, text string) {
	method = choose(random, "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "TRACE", "get", "BREW", word(random))
	path := choose(random, "/.well-known/appspecific/com.tesla.3p.public-key.pem", "/.well-known/acme-challenge/"+word(random), "/", "*", "//evil", "/"+word(random), "/%00%0a%1b[31m", "/"+strings.Repeat("a/", random.IntN(2000)), "http://"+word(random)+"/")
	host := choose(random, domain, domain, word(random), word(random)+".example.com", "", "127.0.0.1", "[::1]:443", domain+":1")
	version := choose(random, "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/9.9", word(random))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\nHost: %s\r\nUser-Agent: %s\r\n", method, path, version, host, word(random))
	for range random.IntN(4) {
		fmt.Fprintf(&b, "%s: %s\r\n", choose(random, "Accept", "X-Forwarded-For", "Forwarded", "If-None-Match", "Wellkey-Probe", "Upgrade", "Expect", "Content-Length", "Transfer-Encoding", word(random)), word(random))
	}
	return method, b.String() + "\r\n"
}

// word returns a word that may be anything.
func word(random *rand.Rand) string {
	switch random.IntN(12) {
	case 0:
		return "\x1b[31mred\x1b[0m"
	case 1:
		return "nul\x00nul"
	case 2:
		return "line\u2028separator"
	case 3:
		return "line\r\nX-Forged: yes"
	case 4:
		return strings.Repeat("x", 10<<10)
	case 5:
		junk := make([]byte, 1+random.IntN(40))
		for i := range junk {
			junk[i] = byte(random.IntN(256))
		}
		return string(junk)
	default:
		return fmt.Sprintf("w%x", random.Uint32())
	}
}

func choose(random *rand.Rand, among ...string) string { return among[random.IntN(len(among))] }

// namesAtRandom asks for certificates of random names.
func namesAtRandom(ctx context.Context, t *target, random *rand.Rand, names int) error {
	for range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		conn, err := t.dial(ctx, private, private, t.Port)
		if err != nil {
			return err
		}
		_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
		name := choose(random, fmt.Sprintf("n%x.example.com", random.Uint32()), word(random), "")
		// It is refused, which is what is wanted.
		_ = tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true}).HandshakeContext(ctx)
		_ = conn.Close()
	}
	return nil
}
