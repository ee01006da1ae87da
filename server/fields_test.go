package server_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"wellkey/server"
	"wellkey/server/framing"
)

// lines are fields with different names, of so many bytes each.
func lines(n, size int) string {
	var all strings.Builder
	for i := range n {
		line := fmt.Sprintf("n%04d:", i)
		all.WriteString(line + strings.Repeat("v", max(size-len(line)-2, 0)) + "\r\n")
	}
	return all.String()
}

// A header of as many fields as may be is answered, again and again; one of more gets 400
// before it is whole.
func TestManyFields(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	config, certs := configure(t)
	proxied, _ := configure(t)
	proxied.PlainHTTP, proxied.ProxyProtocol, proxied.TrustedProxies = true, true, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	behind, more := configure(t)
	behind.PlainHTTP, behind.Upstream = true, a.config()
	alone, app := start(t, config), start(t, behind)
	plain := func(addr string) func() net.Conn {
		return func() net.Conn {
			conn, err := net.Dial("tcp", addr)
			must(t, err)
			return conn
		}
	}
	for name, tc := range map[string]struct {
		dial func() net.Conn
		want int
	}{
		"to another port":           {plain(alone.HTTPAddr()), 308},
		"over TLS":                  {func() net.Conn { return speak(t, alone, certs) }, 404},
		"behind a proxy":            {plain(start(t, proxied).HTTPAddr()), 404},
		"for an application":        {plain(app.HTTPAddr()), 200},
		"for an application in TLS": {func() net.Conn { return speak(t, app, more) }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			conn := tc.dial()
			defer func() { _ = conn.Close() }()
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			begin := "GET /many HTTP/1.1\r\nHost: " + domain + "\r\n" + lines(framing.MostFields-1, 0)
			read := bufio.NewReader(conn)
			hears := func(want int) {
				t.Helper()
				response, err := http.ReadResponse(read, nil)
				must(t, err)
				_, err = io.Copy(io.Discard, response.Body)
				must(t, errors.Join(err, response.Body.Close()))
				if response.StatusCode != want {
					t.Errorf("status %d, want %d", response.StatusCode, want)
				}
			}
			_, err := io.WriteString(conn, begin+"\r\n"+begin+"\r\n"+begin)
			must(t, err)
			hears(tc.want)
			hears(tc.want)
			_, err = io.WriteString(conn, "one: more\r\n")
			must(t, err)
			hears(http.StatusBadRequest)
			if rest, err := io.ReadAll(read); len(rest) > 0 || err != nil {
				t.Errorf("after the answer: %q, %v; want the end", rest, err)
			}
		})
	}
	t.Run("over HTTP/2", func(t *testing.T) {
		for addr, certs := range map[string]*certificates{alone.HTTPSAddr(): certs, app.HTTPSAddr(): more} {
			header := http.Header{"User-Agent": {"x"}, "Accept-Encoding": {"x"}}
			for n := len(header); n < framing.MostFields; n++ {
				header.Set(fmt.Sprintf("n%04d", n), "v")
			}
			c := client(t, addr, certs, true)
			if got := ask(t, c, "GET", "https://"+domain, server.KeyPath, header); got.Status != 200 {
				t.Errorf("as many as may be: got %+v", got)
			}
			header.Set("one", "more")
			for _, path := range []string{server.KeyPath, "/many"} {
				if got := ask(t, c, "GET", "https://"+domain, path, header); got.Status != 400 || got.Body != "This request has too many header fields.\n" {
					t.Errorf("more: got %+v", got)
				}
			}
		}
	})
	if got := len(a.requests()); got != 4 {
		t.Errorf("the application got %d requests, want 4", got)
	}
}

// A request of HTTP/2 is kept while its answer lies unread, but not its header.
func TestHeaderIsLetGo(t *testing.T) {
	config, _ := configure(t)
	config.Upstream = newApp(t, nil).config()
	s := newServer(t, config)
	for _, path := range []string{server.KeyPath, "/app"} {
		r := httptest.NewRequest("GET", "https://"+domain+path, nil)
		r.ProtoMajor, r.ProtoMinor = 2, 0
		w := httptest.NewRecorder()
		s.HTTPSHandler().ServeHTTP(w, r)
		if w.Code != 200 || r.Header != nil {
			t.Errorf("%s: status %d, and %v is kept", path, w.Code, r.Header)
		}
	}
}

// However a client fills its header, and whether it is ever whole, a connection takes no
// more than is reckoned for one. It is not parallel: it counts what all have.
func TestHeaderTakesLittle(t *testing.T) {
	const connections = 64
	for name, header := range map[string]string{
		"few lines":  lines(framing.MostFields-1, 115),
		"many lines": lines(1500, 0),
		"tiny lines": strings.Repeat("a:\n", 4000),
		"one line":   "a:" + strings.Repeat("v", 12<<10-80),
	} {
		t.Run(name, func(t *testing.T) {
			config, _ := configure(t)
			config.HTTPSAddr, config.PlainHTTP = "", true
			s := newServer(t, config)
			bound := newMemory()
			s.Inherit("http", bound)
			run(t, s)
			text := []byte("GET / HTTP/1.1\r\nHost: a\r\n" + header)
			before := allocated()
			for range connections {
				c := &silent{said: said{in: bytes.NewReader(text), closed: make(chan struct{})}, asked: make(chan struct{})}
				c.hangUp = sync.OnceFunc(func() { close(c.closed) })
				c.drained = sync.OnceFunc(func() { close(c.asked) })
				defer c.hangUp()
				bound.conns <- c
				select {
				case <-c.asked:
				case <-c.closed:
				}
			}
			got := (allocated() - before) / connections
			t.Logf("%d bytes a connection", got)
			if got > server.PerConnection {
				t.Errorf("%d bytes a connection, want %d at most", got, server.PerConnection)
			}
		})
	}
}

// A silent is a said that does not hang up.
type silent struct {
	said
	asked   chan struct{} // closed when there is nothing more to read
	drained func()        // closes it
}

func (s *silent) Read(b []byte) (int, error) {
	n, err := s.said.Read(b)
	if err != io.EOF {
		return n, err
	}
	s.drained()
	<-s.closed
	return 0, net.ErrClosed
}

// allocated returns how many bytes are in use.
func allocated() int {
	runtime.GC()
	runtime.GC() // for what lay in pools
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int(stats.HeapAlloc)
}
