package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"wellkey/server"
	"wellkey/server/passthrough"
	"wellkey/server/upstream"
)

// A framed is a connection over which HTTP/2 is spoken frame by frame.
type framed struct {
	*http2.Framer
	conn  *tls.Conn
	coded bytes.Buffer
	coder *hpack.Encoder
}

func frame(t testing.TB, s *server.Server, certs *certificates, settings ...http2.Setting) *framed {
	t.Helper()
	conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain, NextProtos: []string{"h2"}})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	f := &framed{Framer: http2.NewFramer(conn, conn), conn: conn}
	f.coder = hpack.NewEncoder(&f.coded)
	must(t, err)
	must(t, f.WriteSettings(settings...))
	return f
}

// fields returns the header of a request for the key, with more fields.
func (f *framed) fields(more ...hpack.HeaderField) []byte {
	return f.header("GET", server.KeyPath, more...)
}

// header returns that of any request.
func (f *framed) header(method, path string, more ...hpack.HeaderField) []byte {
	f.coded.Reset()
	for _, field := range append([]hpack.HeaderField{{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: domain}, {Name: ":path", Value: path}}, more...) {
		_ = f.coder.WriteField(field) // into memory
	}
	return bytes.Clone(f.coded.Bytes())
}

// ask begins a request.
func (f *framed) ask(stream uint32) error { return f.askFor(server.KeyPath, stream) }

// askFor begins one for another path.
func (f *framed) askFor(path string, stream uint32) error {
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.header("GET", path), EndHeaders: true, EndStream: true})
}

// end reads to the end of the connection and returns with which words it was ended,
// if there were any.
func (f *framed) end(t testing.TB) (code http2.ErrCode, told bool) {
	t.Helper()
	for {
		got, err := f.ReadFrame()
		if goaway, ok := got.(*http2.GoAwayFrame); ok {
			code, told = goaway.ErrCode, true
		}
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			t.Error("the connection stays open")
		}
		if err != nil {
			return code, told
		}
	}
}

// closed reports whether err is that the other end has closed the connection.
func closed(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
}

// What abuses HTTP/2 ends its connection; a client that behaves is answered.
func TestFloodsOfFrames(t *testing.T) {
	for name, tc := range map[string]struct {
		flood func(f *framed) error
		want  http2.ErrCode // that net/http ends it with
		ours  bool          // unless we are first, who count it and say nothing
	}{
		"requests taken back": {func(f *framed) error {
			for n := range uint32(10_000) {
				if err := errors.Join(f.ask(2*n+1), f.WriteRSTStream(2*n+1, http2.ErrCodeCancel)); err != nil {
					return err
				}
			}
			return nil
		}, http2.ErrCodeEnhanceYourCalm, true},
		"a header without end": {func(f *framed) error {
			err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.fields()})
			more := f.fields(hpack.HeaderField{Name: "x-more", Value: strings.Repeat("a", 8<<10)})
			for range 10_000 {
				if err = errors.Join(err, f.WriteContinuation(1, false, more)); err != nil {
					return err
				}
			}
			return nil
		}, http2.ErrCodeProtocol, false},
		"a frame that is too large": {func(f *framed) error {
			return f.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 1, make([]byte, 16<<10+1))
		}, http2.ErrCodeFrameSize, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, certs := configure(t)
			s := start(t, config)
			f := frame(t, s, certs)
			var flooding sync.WaitGroup
			flooding.Go(func() {
				if err := tc.flood(f); err != nil && !closed(err) {
					t.Error(err)
				}
			})
			got, told := f.end(t)
			flooding.Wait()
			switch {
			case tc.ours && !told:
				await(t, "that it is counted", func() bool {
					return series(t, registryOf(config))[`wellkey_connections_displaced_total{listener=https,state=reset}`] == 1
				})
			case !told || got != tc.want:
				t.Errorf("ended with %v (told: %t), want %v", got, told, tc.want)
			}
			if got := ask(t, client(t, s.HTTPSAddr(), certs, true), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
				t.Errorf("another client got %+v", got)
			}
		})
	}
}

// Who takes back what it asks for, one answer at a time so that net/http has no
// objection, loses the connection.
func TestTakenBack(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	f := frame(t, s, certs)
	must(t, f.WriteWindowUpdate(0, 1<<30)) // for all of the answers
	var words bytes.Buffer
	framer := http2.NewFramer(&words, nil)
	begin := func(stream uint32) {
		must(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.fields(), EndHeaders: true, EndStream: true}))
	}
	var err error
	for stream := uint32(1); err == nil; stream += 2 {
		for range 16 {
			begin(stream)
			must(t, framer.WriteRSTStream(stream, http2.ErrCodeCancel))
			stream += 2
		}
		begin(stream) // and waits for the answer
		_, err = f.conn.Write(words.Bytes())
		words.Reset()
		for answered := false; err == nil && !answered; {
			var got http2.Frame
			if got, err = f.ReadFrame(); err == nil && got.Header().StreamID == stream {
				last, ok := got.(interface{ StreamEnded() bool })
				answered = ok && last.StreamEnded()
			}
		}
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		t.Fatal("the connection stays open")
	}
	await(t, "that it is counted", func() bool {
		return series(t, registryOf(config))[`wellkey_connections_displaced_total{listener=https,state=reset}`] == 1
	})
	if got := ask(t, client(t, s.HTTPSAddr(), certs, true), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
		t.Errorf("another client got %+v", got)
	}
}

// It is the hundredth that ends it.
func TestTakenBackHundredTimes(t *testing.T) {
	config, _ := configure(t)
	s := newServer(t, config)
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	ctx, cancel := context.WithCancel(s.From(t.Context(), near))
	cancel()
	counted := func() float64 {
		return series(t, registryOf(config))[`wellkey_connections_displaced_total{listener=https,state=reset}`]
	}
	answers := httptest.NewRecorder()
	for n := range server.MostTakenBack {
		if got := counted(); got != 0 {
			t.Fatalf("ended after %d", n)
		}
		request := httptest.NewRequestWithContext(ctx, "GET", "https://"+domain+server.KeyPath, nil)
		request.ProtoMajor, request.ProtoMinor = 2, 0
		func() {
			defer func() {
				if got, _ := recover().(error); !errors.Is(got, http.ErrAbortHandler) {
					t.Errorf("got %v, want that it is not answered", got)
				}
			}()
			s.HTTPSHandler().ServeHTTP(answers, request)
		}()
	}
	if got := counted(); got != 1 || answers.Body.Len() > 0 {
		t.Errorf("counted %v times, want once; answered %q", got, answers.Body)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
}

// pings returns a record full of questions.
func pings(t testing.TB) []byte {
	t.Helper()
	var all bytes.Buffer
	framer := http2.NewFramer(&all, nil)
	for range pingsInRecord {
		must(t, framer.WritePing(false, [8]byte{}))
	}
	return all.Bytes()
}

// pingsInRecord are less than 16 kB of them.
const pingsInRecord = 900

// A narrow listener takes and sends little that nobody has read.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		err = errors.Join(conn.(*net.TCPConn).SetWriteBuffer(16<<10), conn.(*net.TCPConn).SetReadBuffer(16<<10))
	}
	return conn, err
}

// narrowly starts a server that gives who reads nothing so long.
func narrowly(t *testing.T, config server.Config, patience time.Duration) *server.Server {
	t.Helper()
	s := newServer(t, config)
	s.SetWriteTimeout(patience)
	s.SetIdle(time.Hour) // questions keep no connection from being idle
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.Inherit("https", narrow{listener})
	run(t, s)
	return s
}

// Questions are not read on while their answers are not, and once those are, all of
// them are answered.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	for name, app := range map[string]*upstream.Config{"alone": nil, "upstream": newApp(t, nil).config()} {
		t.Run(name, func(t *testing.T) { unreadAnswers(t, app) })
	}
}

func unreadAnswers(t *testing.T, app *upstream.Config) {
	config, certs := configure(t)
	config.Upstream = app
	s := narrowly(t, config, time.Minute)
	f, record := frame(t, s, certs), pings(t)
	must(t, f.conn.NetConn().(*net.TCPConn).SetWriteBuffer(16<<10))
	full, asked := make(chan struct{}), make(chan int, 1)
	go func() { // until the buffers of both kernels are full
		for n := pingsInRecord; ; n += pingsInRecord {
			if _, err := f.conn.Write(record); err != nil {
				t.Error(err)
			}
			select {
			case <-full:
				asked <- n
				return
			default:
			}
		}
	}()
	await(t, "that nothing more is read", func() bool { return s.HeldUp() == 1 })
	close(full)
	want := 0
	for got := 0; want == 0 || got < want; {
		frame, err := f.ReadFrame()
		must(t, err)
		if ping, ok := frame.(*http2.PingFrame); ok && ping.IsAck() {
			got++
		}
		if want == 0 && len(asked) > 0 {
			want = <-asked
		}
	}
}

// Who reads no answers at all is given up after a while.
func TestNeverRead(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := narrowly(t, config, time.Second)
	f, record := frame(t, s, certs), pings(t)
	_, err := f.conn.Write(record)
	for err == nil {
		_, err = f.conn.Write(record)
	}
	if !closed(err) {
		t.Fatal(err)
	}
	await(t, "that it is counted", func() bool {
		return series(t, registryOf(config))[`wellkey_connections_displaced_total{listener=https,state=unread}`] == 1
	})
}

// Goroutines that belong to no connection, such as those of other parts, are no crowd, and a
// client that is never idle is none either.
func TestNoCrowd(t *testing.T) {
	for name, tc := range map[string]struct{ others, asks int }{"others": {5000, 8}, "a busy client": {0, 5000}} {
		t.Run(name, func(t *testing.T) {
			config, certs := configure(t)
			s := start(t, config)
			s.Crowd(500)
			end := make(chan struct{})
			defer close(end)
			for range tc.others {
				go func() { <-end }()
			}
			f := frame(t, s, certs)
			const ahead = 8
			for n, answered := 0, 0; answered < tc.asks; {
				for ; n < tc.asks && n < answered+ahead; n++ {
					must(t, f.WriteWindowUpdate(0, 1<<10))
					must(t, f.ask(uint32(2*n+1)))
				}
				got, err := f.ReadFrame()
				must(t, err)
				switch got := got.(type) {
				case *http2.DataFrame:
					answered++
				case *http2.RSTStreamFrame:
					t.Fatalf("a request was turned away after %d answers: %v", answered, got)
				}
			}
		})
	}
}

// In a crowd, who has one answer after the other has all of them.
func TestOneAtATimeInACrowd(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	s.Crowd(-10_000)
	for range 20 {
		c := client(t, s.HTTPSAddr(), certs, true)
		if got := ask(t, c, "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
			t.Errorf("got %+v", got)
		}
	}
	f := frame(t, s, certs, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
	for n := range uint32(8) {
		must(t, f.ask(2*n+1))
	}
	for refused := 0; refused == 0; {
		got, err := f.ReadFrame()
		must(t, err)
		if _, ok := got.(*http2.RSTStreamFrame); ok {
			refused++
		}
	}
}

// Requests whose answers nobody lets pass are held for so many connections only, also
// where others are passed on, or an application is behind.
func TestCrowd(t *testing.T) {
	for name, with := range map[string]func(*server.Config){
		"alone": func(*server.Config) {},
		"passthrough": func(c *server.Config) {
			c.Passthrough = []passthrough.Route{{Name: "other.example.com", Target: "127.0.0.1:1"}}
		},
		"upstream": func(c *server.Config) { c.Upstream = newApp(t, nil).config() },
	} {
		t.Run(name, func(t *testing.T) {
			config, certs := configure(t)
			with(&config)
			s := start(t, config)
			s.Crowd(200)
			var all []*framed
			for range 16 {
				f := frame(t, s, certs, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
				for n := range uint32(32) {
					if err := f.ask(2*n + 1); err != nil && !closed(err) {
						t.Fatal(err)
					}
				}
				all = append(all, f)
			}
			await(t, "some of them to be closed", func() bool {
				if got := ask(t, client(t, s.HTTPSAddr(), certs, false), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
					t.Fatalf("a client that behaves got %+v", got)
				}
				seen := series(t, registryOf(config))
				return seen[`wellkey_connections_displaced_total{listener=https,state=stalled}`] >= 1 && seen[`wellkey_http_requests_turned_away_total{listener=https}`] > 0
			})
			for _, f := range all {
				_ = f.conn.Close()
			}
		})
	}
}

// What is wrong with one connection keeps no listener from taking the next.
func TestAcceptsAfterPanic(t *testing.T) {
	config, certs := configure(t)
	s := newServer(t, config)
	s.Break()
	run(t, s)
	s.Full(0)
	for n, addr := range []string{s.HTTPAddr(), s.HTTPSAddr()} {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		if _, err := conn.Read(make([]byte, 1)); !closed(err) {
			t.Errorf("got %v, want the end", err)
		}
		must(t, conn.Close())
		if got := series(t, registryOf(config))[`wellkey_panics_total{part=server}`]; got != float64(n+1) {
			t.Errorf("%v panics are counted, want %d", got, n+1)
		}
	}
	s.Full(10)
	if got := ask(t, client(t, s.HTTPSAddr(), certs, false), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
		t.Errorf("HTTPS: got %+v", got)
	}
	if got := ask(t, client(t, s.HTTPAddr(), certs, false), "GET", "http://"+domain, "/", nil); got.Status != 308 {
		t.Errorf("HTTP: got %+v", got)
	}
}

// Who asks for somebody else's host loses the connection, but for a trusted proxy.
func TestMisdirectedEnds(t *testing.T) {
	config, certs := configure(t)
	config.Ours = func(host string) bool { return host == domain }
	config.PlainHTTP = true
	s := start(t, config)
	const request = "GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n"
	if got := raw(t, s.HTTPAddr(), request); got.Status != 421 || got.Header["Connection"] != "close" {
		t.Errorf("HTTP/1: got %+v", got)
	}
	f := frame(t, s, certs)
	f.coded.Reset()
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "other.example.com"}, {":path", "/"}} {
		must(t, f.coder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
	}
	must(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.coded.Bytes(), EndHeaders: true, EndStream: true}))
	for told := false; !told; {
		got, err := f.ReadFrame()
		must(t, err)
		_, told = got.(*http2.GoAwayFrame)
	}

	config, _ = configure(t)
	config.Ours = func(host string) bool { return host == domain }
	config.PlainHTTP = true
	config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s = start(t, config)
	conn, err := net.Dial("tcp", s.HTTPAddr())
	must(t, err)
	defer func() { _ = conn.Close() }()
	for range 2 {
		_, err = io.WriteString(conn, request)
		must(t, err)
		if got, _ := readReply(t, conn, false); got.Status != 421 || got.Header["Connection"] != "" {
			t.Errorf("of a trusted proxy: got %+v", got)
		}
	}
}

// With an application behind, too, only so many requests of HTTP/2 lie unread, and two of
// each connection. One of which the application has a request stays all the same.
func TestUnreadBesideAnApplication(t *testing.T) {
	hangs := make(chan struct{})
	a := newApp(t, func(http.ResponseWriter, *http.Request) { <-hangs })
	defer close(hangs)
	config, certs := configure(t)
	config.Upstream = a.config()
	s := start(t, config)
	f := frame(t, s, certs, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}) // no answer gets to its end
	must(t, f.askFor("/", 1))
	await(t, "the application to have it", func() bool { return len(a.requests()) == 1 })
	s.Crowd(-1000)
	const asked = 31
	for n := range uint32(asked) {
		must(t, f.ask(2*n+3))
	}
	answered, reset := 0, 0
	for answered+reset < asked {
		got, err := f.ReadFrame()
		must(t, err)
		switch got.(type) {
		case *http2.HeadersFrame:
			answered++
		case *http2.RSTStreamFrame:
			reset++
		}
	}
	if answered != 2 {
		t.Errorf("%d were answered, and %d reset", answered, reset)
	}
	if got := ask(t, client(t, s.HTTPSAddr(), certs, false), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
		t.Errorf("another client got %+v", got)
	}
}
