package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

// A websocket goes both ways, counts as a connection while it lasts, and ends with
// the server.
func TestUpstreamWebsocket(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain %v", plain), func(t *testing.T) {
			gone := make(chan struct{})
			a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(gone)
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer func() { _ = conn.Close() }()
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello ")
				_, _ = io.Copy(conn, rw)
			})
			config, certs := configure(t)
			config.PlainHTTP = plain
			config.Upstream = a.config()
			s := newServer(t, config)
			stop := run(t, s)
			addr, listener := s.HTTPSAddr(), "https"
			if plain {
				addr, listener = s.HTTPAddr(), "http"
			}
			conn, err := net.Dial("tcp", addr)
			must(t, err)
			if !plain {
				conn = tls.Client(conn, &tls.Config{RootCAs: certs.roots, ServerName: domain})
			}
			defer func() { _ = conn.Close() }()
			_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: "+domain+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			must(t, err)
			reader := bufio.NewReader(conn)
			response, err := http.ReadResponse(reader, nil)
			must(t, err)
			if response.StatusCode != 101 {
				t.Fatalf("got %s", response.Status)
			}
			want := "hello "
			for i := range 3 {
				line := fmt.Sprintf("echo %d", i)
				want += line
				_, err = io.WriteString(conn, line)
				must(t, err)
			}
			echo := make([]byte, len(want))
			_, err = io.ReadFull(reader, echo)
			must(t, err)
			if string(echo) != want {
				t.Errorf("got %q", echo)
			}
			if got := series(t, registryOf(config)); got["wellkey_connections{listener="+listener+"}"] != 1 || got["wellkey_upstream_requests{}"] != 1 {
				t.Errorf("%v connections, %v requests are open", got["wellkey_connections{listener="+listener+"}"], got["wellkey_upstream_requests{}"])
			}
			must(t, stop())
			<-gone
			if _, err := reader.ReadByte(); err == nil {
				t.Error("the websocket outlived the server")
			}
			if got := series(t, registryOf(config))["wellkey_connections{listener="+listener+"}"]; got != 0 {
				t.Errorf("%v connections are counted afterwards", got)
			}
		})
	}
}

// Another protocol than websocket is not let through: h2c would be a way past the
// rules of this server.
func TestUpstreamOtherUpgrades(t *testing.T) {
	a := newApp(t, nil)
	config, _ := configure(t)
	config.PlainHTTP, config.Upstream = true, a.config()
	s := start(t, config)
	got := raw(t, s.HTTPAddr(), "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	if r := a.requests()[0]; got.Status != 200 || r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" {
		t.Errorf("got %+v; the application saw %v", got, r.Header)
	}
}

// An event comes when it is sent, not when the answer is complete.
func TestUpstreamStreams(t *testing.T) {
	next := make(chan string)
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "30") // an answer that could be held back
		for text := range next {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
	})
	config, certs := configure(t)
	config.Upstream = a.config()
	s := start(t, config)
	for _, http2 := range []bool{false, true} {
		response, err := client(t, s.HTTPSAddr(), certs, http2).Do(func() *http.Request {
			ctx, cancel := context.WithCancel(context.Background())
			t.Cleanup(cancel)
			r, err := http.NewRequestWithContext(ctx, "GET", "https://"+domain+"/", nil)
			must(t, err)
			go func() { next <- "event 0..." }()
			return r
		}())
		must(t, err)
		for i := range 3 {
			want := fmt.Sprintf("event %d...", i)
			if i > 0 {
				next <- want
			}
			got := make([]byte, len(want))
			_, err := io.ReadFull(response.Body, got)
			must(t, err)
			if string(got) != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		_ = response.Body.Close()
		if http2 {
			close(next)
		} else {
			close(next)
			next = make(chan string)
		}
	}
}

// 1 GiB passes both ways at constant memory.
func TestUpstreamLargeBodies(t *testing.T) {
	t.Parallel()
	const size = 1 << 30
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		if n, err := io.Copy(w, r.Body); n != size || err != nil {
			t.Errorf("the application got %d bytes, %v", n, err)
		}
	})
	config, certs := configure(t)
	config.PlainHTTP, config.Upstream = true, a.config()
	s := start(t, config)
	most := watchHeap(t)
	r, err := http.NewRequest("POST", "http://"+domain+"/", io.LimitReader(zeros{}, size))
	must(t, err)
	c := client(t, s.HTTPAddr(), certs, false)
	c.Timeout = 5 * time.Minute // a busy machine takes its time
	response, err := c.Do(r)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if grown := most(); grown > 32<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// watchHeap looks at the heap until the returned function is called, which says
// by how much it grew at most.
func watchHeap(t *testing.T) (most func() uint64) {
	t.Helper()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	runtime.GC()
	base := heap()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		highest := uint64(0)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				peak <- highest
				return
			case <-ticker.C:
				highest = max(highest, heap())
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return max(<-peak, base) - base
	}
}
