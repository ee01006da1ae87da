package main

import (
	"bufio"
	"context"
	"crypto/tls"
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

	"wellkey/internal/pause"
	"wellkey/internal/testworld"
)

// randomWorkers is how many send one kind of thing at a time.
const randomWorkers = 8

// namesPatience is how long it may take to ask for all names. It takes half a minute.
const namesPatience = 3 * time.Minute

// A tally counts what was sent at random.
type tally struct {
	begun, reached atomic.Int64 // well-formed requests, and those of them that were answered
	broken         atomic.Int64 // those of which any part may be anything
	names, refused atomic.Int64 // in TLS, and those of them that were refused a certificate
}

// atRandom sends requests and names at random to a wellkey that logs all of them. No
// series may come of that, and no control character may get into the log.
func atRandom(ctx context.Context, o options, dir string, r *report, say func(string, ...any)) (err error) {
	requests, broken, names := o.few(100_000), o.few(20_000), o.few(100_000)
	say("%d random requests", requests)
	t, err := start(ctx, o, dir, nil, "LOG_LEVEL=debug")
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = t.stop() // there is another error
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
	var seen tally
	if err := t.wellFormed(ctx, &seen, int64(requests), int64(names)); err != nil {
		return err
	}
	between, err := t.series(ctx)
	if err != nil {
		return err
	}
	if err := t.broken(ctx, &seen, int64(broken)); err != nil {
		return err
	}
	after, err := t.series(ctx)
	if err != nil {
		return err
	}
	stopped = true
	if err := t.stop(); err != nil {
		return err
	}
	const counter = "wellkey_http_requests_total"
	handled, more := sum(between, counter, "")-sum(before, counter, ""), sum(after, counter, "")-sum(between, counter, "")
	r.random(before, after, handled, float64(requests), float64(seen.reached.Load()))
	r.names(seen.names.Load(), seen.refused.Load(), int64(names))
	lines := r.log(t.process.Log.String(), int(handled+more))
	r.say("%d requests with a random method, path, host, user agent or other field, the rest well-formed, were answered by wellkey's own handler. Of %d more that are hardly requests that answered %.0f, and net/http the others or none of them. %d random names in TLS, of which %d got no certificate. %d series at `/metrics` before and %d after, no control character in %d lines of log.",
		seen.reached.Load(), seen.broken.Load(), more, seen.names.Load(), seen.refused.Load(), len(before), len(after), lines)
	return nil
}

// wellFormed sends so many requests that reach the handler, and asks for so many names, or
// for as many as there is patience for.
func (t *target) wellFormed(ctx context.Context, seen *tally, requests, names int64) error {
	until := time.Now().Add(namesPatience)
	return randomly(ctx, func(ctx context.Context, random *rand.Rand) error {
		// One whose connection was closed before the answer is made up for.
		return t.requests(ctx, random, oddRequest, func() bool { return seen.reached.Load() < requests && upTo(&seen.begun, 2*requests) }, &seen.reached)
	}, func(ctx context.Context, random *rand.Rand) error {
		for upTo(&seen.names, names) && time.Now().Before(until) {
			if err := t.name(ctx, oddName(random), &seen.refused); err != nil {
				return err
			}
		}
		return nil
	})
}

// broken sends so many requests of which hardly one is one.
func (t *target) broken(ctx context.Context, seen *tally, requests int64) error {
	return randomly(ctx, func(ctx context.Context, random *rand.Rand) error {
		var answered atomic.Int64 // by whomever
		return t.requests(ctx, random, brokenRequest, func() bool { return upTo(&seen.broken, requests) }, &answered)
	})
}

// randomly has some workers do each of several things.
func randomly(ctx context.Context, do ...func(context.Context, *rand.Rand) error) error {
	all, ctx := errgroup.WithContext(ctx)
	for kind, one := range do {
		for n := range randomWorkers {
			all.Go(func() error {
				return one(ctx, rand.New(rand.NewPCG(uint64(n), uint64(kind))))
			})
		}
	}
	return all.Wait()
}

// upTo counts one more, unless there are so many.
func upTo(counted *atomic.Int64, most int64) bool {
	for {
		n := counted.Load()
		if n >= most {
			return false
		}
		if counted.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// random judges what came of requests at random: of those that were to reach the handler,
// wanted many, it answered handled, and reached of them got the answer.
func (r *report) random(before, after map[string]float64, handled, wanted, reached float64) {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, there := before[name]; !there {
			r.fault("random requests made the series %s", name)
		}
	}
	if n := sum(after, "wellkey_panics_total", ""); n > 0 {
		r.fault("%.0f panics by random requests", n)
	}
	if reached < wanted {
		r.fault("%.0f random requests of %.0f were answered", reached, wanted)
	}
	if handled < reached {
		r.fault("wellkey's handler counted %.0f requests of %.0f that were answered", handled, reached)
	}
}

// names judges what came of names at random: wanted were to be asked for, tried were, and
// refused of them got no certificate, as all must but the empty one.
func (r *report) names(tried, refused, wanted int64) {
	if tried < wanted {
		r.fault("%d random names of %d were asked for within %v", tried, wanted, namesPatience)
	}
	if least := (tried*9 + 9) / 10; refused < least {
		r.fault("%d random names of %d were refused a certificate, and %d are the least", refused, tried, least)
	}
}

// log judges a log that has a line for each of so many requests, and returns how many
// lines it has.
func (r *report) log(text string, requests int) (lines int) {
	told := 0
	for line := range strings.Lines(text) {
		lines++
		if strings.Contains(line, `"message":"request"`) {
			told++
		}
		if at := strings.IndexFunc(strings.TrimSuffix(line, "\n"), raw); at >= 0 {
			r.fault("a line of the log has a control character at %d: %q", at, line)
			break
		}
	}
	if told < requests {
		r.fault("%d lines of log tell of a request, and there were %d", told, requests)
	}
	return lines
}

// raw reports whether c must not be in a log as it is.
func raw(c rune) bool {
	return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || c == unicode.ReplacementChar
}

// requests sends requests over few connections, for as long as there is more to do. It
// counts those that are answered.
func (t *target) requests(ctx context.Context, random *rand.Rand, request func(*rand.Rand) (method, text string), more func() bool, answered *atomic.Int64) error {
	var conn net.Conn
	var reader *bufio.Reader
	drop := func() {
		if conn != nil {
			_ = conn.Close() // it is closed already, or not wanted
			conn = nil
		}
	}
	defer drop()
	for ctx.Err() == nil && more() {
		if conn == nil {
			var err error
			if conn, err = t.either(ctx, random); err != nil {
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
	return ctx.Err()
}

// either connects to one of the listeners, once more where it is turned away.
func (t *target) either(ctx context.Context, random *rand.Rand) (conn net.Conn, err error) {
	for range 10 {
		if random.IntN(4) == 0 {
			conn, err = t.dial(ctx, private, private, t.Plain)
		} else if secured, failed := t.secure(ctx, private, private); failed == nil {
			return secured, nil
		} else {
			conn, err = nil, failed
		}
		if err == nil || !turnedAway(err) {
			return conn, err
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return nil, err
}

// name asks for the certificate of a name, and counts where that is refused.
func (t *target) name(ctx context.Context, name string, refused *atomic.Int64) error {
	conn, err := t.dial(ctx, private, private, t.Port)
	if err != nil {
		return err
	}
	defer reset(conn)
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	// It is refused, which is what is wanted. One curve is less work for who asks.
	err = tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true, CurvePreferences: []tls.CurveID{tls.X25519}}).HandshakeContext(ctx)
	if alerted(err) {
		refused.Add(1)
	}
	return ctx.Err()
}
