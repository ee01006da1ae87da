package upstream_test

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/server/peer"
	"wellkey/server/upstream"
)

// origin is that of a request from an address.
func origin(address string) peer.Origin { return peer.Origin{Client: netip.MustParseAddr(address)} }

// No client has all of the application, and whoever gives a place back makes room for another.
func TestRequestsOfOneClient(t *testing.T) {
	const most, each = 16, 8
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: "127.0.0.1:1", Requests: most, PerClient: each})
	must(t, err)
	defer p.Close()
	one, other := origin("198.51.100.1").Who(), origin("198.51.100.2").Who()
	var leave []func()
	enter := func(client netip.Prefix, want string) {
		t.Helper()
		left, refused := p.Enter(client)
		if refused != want {
			t.Fatalf("%v, when %d are there: got %q, want %q", client, len(leave), refused, want)
		}
		if refused == "" {
			leave = append(leave, left)
		}
	}
	for range each {
		enter(one, "")
	}
	enter(one, "client")
	enter(other, "")
	leave[0]()
	enter(one, "")
	enter(one, "client")
	for len(leave) <= most {
		enter(netip.Prefix{}, "") // a private address, behind which many may stand
	}
	enter(netip.Prefix{}, "total")
	enter(other, "total")
	for _, left := range leave[1:] {
		left()
	}
	leave = nil
	for range each {
		enter(other, "")
	}
	for _, left := range leave {
		left()
	}
}

// A request that is one too many has an answer without a body, and the connection of one
// with a body ends. In HTTP/2, where a client may ask for dozens of things and read
// nothing, it has none.
func TestTooManyRequests(t *testing.T) {
	registry := prometheus.NewRegistry()
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: "127.0.0.1:1", Requests: 1, Registerer: registry})
	must(t, err)
	defer p.Close()
	leave, refused := p.Enter(netip.Prefix{})
	if refused != "" {
		t.Fatal(refused)
	}
	for method, want := range map[string]string{http.MethodGet: "", http.MethodPost: "close"} {
		request := httptest.NewRequest(method, "/", nil)
		if method == http.MethodPost {
			request.ContentLength = 1
		}
		w := httptest.NewRecorder()
		if code := p.Serve(w, request, origin("198.51.100.1"), "http"); code != 503 || w.Code != 503 || w.Body.Len() > 0 || w.Header().Get("Retry-After") != "1" || w.Header().Get("Connection") != want {
			t.Errorf("%s: got %d, %v and %q", method, code, w.Header(), w.Body)
		}
	}
	second := httptest.NewRequest(http.MethodGet, "/", nil)
	second.ProtoMajor = 2
	w := httptest.NewRecorder()
	if code := p.Serve(w, second, origin("198.51.100.1"), "https"); code != -503 || w.Flushed || len(w.Header()) > 0 {
		t.Errorf("HTTP/2: got %d, %v", code, w.Header())
	}
	if status := p.Status(); status.Open != 1 || !strings.HasPrefix(status.Trouble.Cause, "as many requests are with it as may be") {
		t.Errorf("the status is %+v", status)
	}
	leave()
	if code := p.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), origin("198.51.100.1"), "http"); code != 502 {
		t.Errorf("when there is room again: got %d, want 502, since there is no application", code)
	}
	for range 8 {
		leave, refused := p.Enter(netip.Prefix{})
		if refused != "" {
			t.Fatal(refused)
		}
		leave()
	}
	if n, err := testutil.GatherAndCount(registry, "wellkey_upstream_rejected_total"); n != 2 || err != nil {
		t.Errorf("%d reasons, %v", n, err)
	}
}

// Of one client too many are told that it is they.
func TestTooManyOfOneClient(t *testing.T) {
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: "127.0.0.1:1", PerClient: 8})
	must(t, err)
	defer p.Close()
	from := origin("2001:db8::1")
	for range 8 {
		leave, _ := p.Enter(from.Who())
		defer leave()
	}
	w := httptest.NewRecorder()
	if code := p.Serve(w, httptest.NewRequest("GET", "/", nil), origin("2001:db8::2"), "http"); code != 429 || w.Body.Len() > 0 {
		t.Errorf("another address of the same customer: got %d, %q", code, w.Body)
	}
	if code := p.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), origin("2001:db8:0:1::1"), "http"); code != 502 {
		t.Errorf("another customer: got %d, want 502", code)
	}
}

// unsent has a visitor ask p by HTTP/1, promise a body, and send none. It returns his
// connection, of which the answer is read up to its body.
func unsent(t *testing.T, p *upstream.Proxy) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.Serve(w, r, origin("198.51.100.1"), "http") }))
	t.Cleanup(front.Close)
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	must(t, err)
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	must(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	must(t, err)
	return conn, reader, response
}

// forbids is an application that answers without reading what comes with a request.
func forbids(t *testing.T) (config upstream.Config, came *atomic.Int32) {
	t.Helper()
	came = &atomic.Int32{}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		came.Add(1)
		w.Header().Set("Connection", "close") // else net/http would wait for the body
		w.WriteHeader(http.StatusMethodNotAllowed)
	}))
	t.Cleanup(app.Close)
	return upstream.Config{Scheme: "http", Addr: app.Listener.Addr().String()}, came
}

// A body that never comes holds nothing for good, whoever answered without it.
func TestBodyThatNeverComes(t *testing.T) {
	there, _ := forbids(t)
	for want, config := range map[int]upstream.Config{405: there, 502: {Scheme: "http", Addr: "127.0.0.1:1"}} {
		lingers := make(chan string, 1)
		config.Lingers = func(r *http.Request) { lingers <- r.URL.Path }
		p, err := upstream.New(config)
		must(t, err)
		defer p.Close()
		p.SetLinger(time.Millisecond)
		_, reader, response := unsent(t, p)
		if response.StatusCode != want || !response.Close {
			t.Errorf("got %d, which closes: %v", response.StatusCode, response.Close)
		}
		if path := <-lingers; path != "/" {
			t.Errorf("what lingers is %s", path)
		}
		if _, err := reader.ReadByte(); err != io.EOF {
			t.Errorf("%d: the connection goes on: %v", want, err)
		}
	}
}

// Who sends all before he reads the answer finds it, and nothing of that is a request.
func TestBodyThatComesLate(t *testing.T) {
	there, came := forbids(t)
	for want, config := range map[int]upstream.Config{405: there, 502: {Scheme: "http", Addr: "127.0.0.1:1"}} {
		p, err := upstream.New(config)
		must(t, err)
		defer p.Close()
		p.SetLinger(time.Hour)
		conn, reader, response := unsent(t, p)
		const inside = "GET /inside HTTP/1.1\r\nHost: a\r\n\r\n"
		_, err = io.WriteString(conn, inside+strings.Repeat("x", 100000-2*len(inside))+inside)
		must(t, err)
		if rest, err := io.ReadAll(reader); response.StatusCode != want || len(rest) > 0 || err != nil {
			t.Errorf("got %d, and then %q, %v", response.StatusCode, rest, err)
		}
	}
	if n := came.Load(); n != 1 {
		t.Errorf("%d requests came", n)
	}
}

// A body that was read to its end ends no connection.
func TestBodyThatIsRead(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer app.Close()
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: app.Listener.Addr().String(), Lingers: func(*http.Request) { t.Error("it lingers") }})
	must(t, err)
	defer p.Close()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.Serve(w, r, origin("198.51.100.1"), "http") }))
	defer front.Close()
	for _, body := range []io.Reader{strings.NewReader("all"), io.MultiReader(strings.NewReader("in "), strings.NewReader("chunks"))} {
		response, err := front.Client().Post(front.URL, "", body)
		must(t, err)
		_ = response.Body.Close()
		if response.StatusCode != 200 || response.Close {
			t.Errorf("got %d, which closes: %v", response.StatusCode, response.Close)
		}
	}
}

// The log says that requests are turned away, why, and what to do: a line a minute for
// each reason, whatever the application answers to others meanwhile.
func TestTooManyIsLogged(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer app.Close()
	core, logs := observer.New(zap.InfoLevel)
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: app.Listener.Addr().String(), Requests: 2, PerClient: 1, Logger: zap.New(core)})
	must(t, err)
	defer p.Close()
	busy, other := origin("198.51.100.1"), origin("198.51.100.2")
	visit := func(from peer.Origin, want int) {
		t.Helper()
		if code := p.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), from, "http"); code != want {
			t.Fatalf("got %d, want %d", code, want)
		}
	}
	leave, _ := p.Enter(busy.Who())
	defer leave()
	for range 3 {
		visit(busy, 429)
		visit(other, 200)
		last, _ := p.Enter(other.Who())
		visit(other, 503)
		last()
	}
	got := map[string]string{}
	for _, line := range logs.FilterMessage("requests are not passed on to the application behind upstream, since it is busy with too many; the key is still served").All() {
		fields := line.ContextMap()
		got[fields["reason"].(string)] = fields["cause"].(string) + "; " + fields["fix"].(string)
	}
	want := map[string]string{
		"total": "as many requests are with it as may be, three quarters of the connections that are held: it hangs, or is slower than its visitors; " +
			"Look into the application's log. If it is well, raise max_connections, and what memory and files allow",
		"client": "one client has as many requests with it as it may have, three quarters of all at most: many share its address, or it asks too much; " +
			"If many share it, raise max_client_connections and max_connections; if it is a proxy of yours, add it to trusted_proxies",
	}
	if !maps.Equal(got, want) || logs.Len() != len(want) {
		t.Errorf("the log has %v, %v", got, logs.All())
	}
}
