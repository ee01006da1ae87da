package upstream_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/server/upstream"
)

// A stopped is an application that takes connections, says something on each, and reads
// nothing beyond the header of a request.
func stopped(t *testing.T, says string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var all sync.WaitGroup
	end := make(chan struct{})
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				if _, err := http.ReadRequest(bufio.NewReaderSize(conn, 16)); err == nil {
					_, _ = io.WriteString(conn, says)
				}
				<-end
			})
		}
	})
	t.Cleanup(func() { close(end); _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

// An application that does not read costs a request, not a place: the visitor, of whom
// nothing is read meanwhile, may be gone.
func TestUnread(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	registry := prometheus.NewRegistry()
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: stopped(t, ""), Logger: zap.New(core), Registerer: registry})
	must(t, err)
	defer p.Close()
	p.SetPatience(20 * time.Millisecond)
	r := httptest.NewRequest("POST", "/", endless{})
	r.ContentLength = 1 << 40
	w := httptest.NewRecorder()
	if code := p.Serve(w, r, origin("198.51.100.1"), "http"); code != 504 {
		t.Errorf("got %d, %q", code, w.Body)
	}
	if logs.Len() != 1 || logs.All()[0].ContextMap()["reason"] != "unread" {
		t.Errorf("the log has %v", logs.All())
	}
}

// So does one that takes a websocket and leaves it.
func TestUnreadWebsocket(t *testing.T) {
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: stopped(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")})
	must(t, err)
	defer p.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.Serve(w, r, origin("198.51.100.1"), "http") }))
	defer front.Close()
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	must(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	must(t, err)
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if must(t, err); !strings.Contains(line, " 101 ") {
		t.Fatalf("got %q", line)
	}
	p.SetPatience(20 * time.Millisecond)                                       // not sooner: the header is written, too
	if _, err := io.Copy(conn, io.LimitReader(endless{}, 1<<30)); err == nil { // more than kernels hold
		t.Error("all was taken")
	}
}
