package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"wellkey/server"
)

// A spoken is a connection over which HTTP/1 is spoken by hand.
type spoken struct {
	*tls.Conn
	t    testing.TB
	read *bufio.Reader
}

const keyRequest = "GET " + server.KeyPath + " HTTP/1.1\r\nHost: " + domain + "\r\n\r\n"

func speak(t testing.TB, s *server.Server, certs *certificates) *spoken {
	t.Helper()
	conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain, NextProtos: []string{"http/1.1"}})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return &spoken{conn, t, bufio.NewReader(conn)}
}

func (l *spoken) say(text string) {
	l.t.Helper()
	_, err := io.WriteString(l, text)
	must(l.t, err)
}

// hears expects an answer with a status.
func (l *spoken) hears(status int) {
	l.t.Helper()
	response, err := http.ReadResponse(l.read, nil)
	must(l.t, err)
	_, err = io.Copy(io.Discard, response.Body)
	must(l.t, errors.Join(err, response.Body.Close()))
	if response.StatusCode != status {
		l.t.Fatalf("status %d, want %d", response.StatusCode, status)
	}
}

// ends expects the end of the connection.
func (l *spoken) ends() {
	l.t.Helper()
	if rest, _ := io.ReadAll(l.read); len(rest) > 0 { // however it ends
		l.t.Fatalf("got %q, want the end of the connection", rest)
	}
}

// TestKeptPipelines: what comes at once is answered in order, although net/http
// looks for the end of the connection at each.
func TestKeptPipelines(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := newServer(t, config)
	run(t, s)
	l := speak(t, s, certs)
	const many = 50
	l.say(strings.Repeat(keyRequest, many) + keyRequest[:3])
	for range many {
		l.hears(http.StatusOK)
	}
	l.say(keyRequest[3:])
	l.hears(http.StatusOK)
}

// TestKeptOneByte: net/http may really want one byte, where its buffer has no room
// for more.
func TestKeptOneByte(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := newServer(t, config)
	run(t, s)
	l := speak(t, s, certs)
	head := keyRequest[:len(keyRequest)-2]
	for range 2 {
		long := head + "X-Long: "
		long += strings.Repeat("x", 4095-len(long)) // one less than the buffer
		l.say(long)
		l.say("y\r\n\r\n")
		l.hears(http.StatusOK)
	}
}

// TestRest: a connection that is idle is taken from net/http, is still counted, and
// goes on where the client speaks again.
func TestRest(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := newServer(t, config)
	s.SetRest(time.Nanosecond)
	run(t, s)
	l := speak(t, s, certs)
	for range 3 {
		l.say(keyRequest)
		l.hears(http.StatusOK)
		await(t, "the rest", func() bool { return s.Resting() == 1 })
		if got := s.Open(); got != 1 {
			t.Fatalf("%d connections are counted, want 1", got)
		}
	}
	l.say(keyRequest[:1])
	l.say(keyRequest[1:] + keyRequest)
	l.hears(http.StatusOK)
	l.hears(http.StatusOK)
	l.say("\r\n" + keyRequest) // which net/http would not have in front of a request
	l.hears(http.StatusBadRequest)
	await(t, "the end", func() bool { return s.Open() == 0 })
}

// TestRestDropsNothing: a request that has begun is never lost by a rest.
func TestRestDropsNothing(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := newServer(t, config)
	s.SetRest(time.Nanosecond)
	run(t, s)
	l := speak(t, s, certs)
	for cut := 1; cut < 5; cut++ {
		l.say(keyRequest + keyRequest[:cut])
		l.hears(http.StatusOK)
		if cut > 3 { // else net/http waits, and nothing tells that it does
			await(t, "the request", func() bool { return s.Resting() == 0 })
		}
		l.say(keyRequest[cut:])
		l.hears(http.StatusOK)
	}
}

// TestRestEnds: a connection at rest ends with the idle timeout, and with its client.
func TestRestEnds(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := newServer(t, config)
	s.SetRest(time.Nanosecond)
	s.SetIdle(500 * time.Millisecond)
	run(t, s)
	l := speak(t, s, certs)
	l.say(keyRequest)
	l.hears(http.StatusOK)
	l.ends()
	await(t, "the end of the one that was silent", func() bool { return s.Open() == 0 && s.Resting() == 0 })

	other := speak(t, s, certs)
	other.say(keyRequest)
	other.hears(http.StatusOK)
	must(t, other.Close())
	await(t, "the end of the one whose client has gone", func() bool { return s.Open() == 0 && s.Resting() == 0 })
}

// TestRestStops: what is at rest holds up no stop.
func TestRestStops(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := newServer(t, config)
	s.SetRest(time.Nanosecond)
	stop := run(t, s)
	var all []*spoken
	for range 8 {
		l := speak(t, s, certs)
		l.say(keyRequest)
		l.hears(http.StatusOK)
		all = append(all, l)
	}
	await(t, "the rest", func() bool { return s.Resting() == len(all) })
	must(t, stop())
	for _, l := range all {
		l.ends()
	}
	if got := s.Open(); got != 0 {
		t.Errorf("%d connections are counted after the stop", got)
	}
}

// TestKeptDeadlines: a client that says half of a request is not waited for longer
// than net/http wants.
func TestKeptDeadlines(t *testing.T) {
	t.Parallel()
	config, certs := configure(t)
	s := newServer(t, config)
	s.SetHeaderTimeout(2 * time.Second)
	run(t, s)
	l := speak(t, s, certs)
	for range 3 {
		l.say(keyRequest)
		l.hears(http.StatusOK)
	}
	l.say(keyRequest[:20])
	l.hears(http.StatusBadRequest)
	l.ends()
}

// bare is what net/http serves alone, with the answer of the key.
func bare(t testing.TB, certs *certificates) (addr string) {
	t.Helper()
	config := certs.config.Clone()
	config.NextProtos = []string{"http/1.1"}
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	must(t, err)
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["Content-Type"], h["Content-Length"] = bareType, bareLength
		_, _ = w.Write(bareBody) // the visitor has gone: nothing to do
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // until Shutdown
	}()
	t.Cleanup(func() {
		_ = srv.Shutdown(context.Background()) // what is open is idle
		<-ended
	})
	return l.Addr().String()
}

var (
	bareType, bareLength = []string{"application/x-pem-file"}, []string{"178"}
	bareBody             = []byte(strings.Repeat("k", 178))
)

// exchange returns what makes one request over a connection that is kept, and reads
// the answer; it allocates nothing but what the server does.
func exchange(t testing.TB, addr string, certs *certificates) func() {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: certs.roots, ServerName: domain, NextProtos: []string{"http/1.1"}})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	read, request := bufio.NewReader(conn), []byte(keyRequest)
	return func() {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		for line := []byte("."); len(line) > 2; {
			if line, err = read.ReadSlice('\n'); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := read.Discard(len(bareBody)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServingAllocatesNoMore: over a real connection a request allocates what
// net/http does, and nothing of ours. It is not parallel: it counts what all do.
func TestServingAllocatesNoMore(t *testing.T) {
	config, certs := configure(t)
	s := newServer(t, config)
	run(t, s)
	allocated := func(addr string) float64 {
		do := exchange(t, addr, certs)
		do()
		return testing.AllocsPerRun(300, do)
	}
	// With the race detector, pools lose what they hold by chance, and more on a busy
	// machine: what is ours by our code is there every time.
	var ours, theirs float64
	for range 10 {
		if ours, theirs = allocated(s.HTTPSAddr()), allocated(bare(t, certs)); ours <= theirs {
			return
		}
	}
	t.Errorf("%v allocations a request, net/http alone makes %v", ours, theirs)
}

// BenchmarkServe is one request over a connection that is kept, with the client in
// the same process.
func BenchmarkServe(b *testing.B) {
	config, certs := configure(b)
	s := newServer(b, config)
	run(b, s)
	for name, addr := range map[string]string{"wellkey": s.HTTPSAddr(), "net/http": bare(b, certs)} {
		b.Run(name, func(b *testing.B) {
			do := exchange(b, addr, certs)
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}
