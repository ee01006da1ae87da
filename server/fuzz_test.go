package server_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wellkey/server"
	"wellkey/server/framing"
)

// memory is a listener whose clients have said all that they will say before they
// connect.
type memory struct {
	conns chan net.Conn
	ended chan struct{}
	close func()
}

func newMemory() *memory {
	m := &memory{conns: make(chan net.Conn), ended: make(chan struct{})}
	m.close = sync.OnceFunc(func() { close(m.ended) })
	return m
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.ended:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.close(); return nil }
func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// say connects, says input, hangs up, and returns all that comes back.
func (m *memory) say(input []byte) []byte {
	c := &said{in: bytes.NewReader(input), closed: make(chan struct{})}
	c.hangUp = sync.OnceFunc(func() { close(c.closed) })
	m.conns <- c
	<-c.closed
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.out.Bytes())
}

// A said is a connection whose client has said everything and hung up.
type said struct {
	hangUp func()
	closed chan struct{}

	mu  sync.Mutex // guards what follows
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *said) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.in.Read(b)
}

func (c *said) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(b)
}

func (c *said) Close() error                     { c.hangUp(); return nil }
func (c *said) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (c *said) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2), Port: 2} }
func (c *said) SetDeadline(time.Time) error      { return nil }
func (c *said) SetReadDeadline(time.Time) error  { return nil }
func (c *said) SetWriteDeadline(time.Time) error { return nil }

// known are the statuses that we give, or net/http before us.
var known = []int{200, 304, 308, 400, 404, 405, 417, 421, 431, 501, 503, 505}

// answers reads all that came back: whole answers with a status that we know, none
// of which holds a private key.
func answers(t *testing.T, output []byte) (all []*http.Response, bodies [][]byte) {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(output))
	for {
		if _, err := reader.Peek(1); err != nil {
			return all, bodies
		}
		// With no body wherever none was announced: one that follows the answer to
		// HEAD would be read as the next answer, and not be one.
		response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatalf("%v: what came back is no answer: %q", err, output)
		}
		if response.StatusCode == http.StatusContinue {
			continue
		}
		if !slices.Contains(known, response.StatusCode) {
			t.Fatalf("status %d", response.StatusCode)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil && !(errors.Is(err, io.ErrUnexpectedEOF) && len(body) == 0) { // HEAD, at the end
			t.Fatalf("%v in the body of %+v", err, response)
		}
		all, bodies = append(all, response), append(bodies, body)
	}
}

// FuzzRequests says anything to the whole server: there is an answer, or the
// connection is closed; the key is the only thing that ever comes with 200; nobody
// is led to another host, or elsewhere there than asked; and whatever was said, nothing
// else that comes back holds the word PRIVATE.
func FuzzRequests(f *testing.F) {
	for _, text := range []string{
		"GET " + server.KeyPath + " HTTP/1.1\r\nHost: " + domain + "\r\n\r\n",
		"GET " + server.KeyPath + " HTTP/1.0\r\n\r\n",
		"POST " + server.KeyPath + " HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nPRIVATEGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
		"GET " + server.KeyPath + " HTTP/1.1\r\nHost: " + domain + "\r\nIf-None-Match: \"PRIVATE\", *\r\nRange: bytes=0-1,1-2\r\nPRIVATE: PRIVATE\r\n\r\n",
		"GET /PRIVATE?PRIVATE HTTP/1.1\r\nHost: PRIVATE\r\n\r\n", "GET //evil.example/PRIVATE HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"GET /\\evil.example HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%2e%2e/%0d%0aSet-Cookie:x HTTP/1.1\r\nHost: a\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /.well-known/acme-challenge/PRIVATE HTTP/1.1\r\nHost: a\r\n\r\n", "PRIVATE / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x00\x05PRIVATE", "GET / HTTP/9.9\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n", "GET /a#b%zz?%zz#c?d HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://evil.example?%41 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a%2fb\\%c3\xa4?\xff+%2b HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a: b\r\n", framing.MostFields-1) + "\r\n", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("a: b\r\n", framing.MostFields) + "\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: a\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
	config, _ := configure(f)
	var want []byte
	plain, redirects := newMemory(), newMemory()
	for _, at := range []*memory{plain, redirects} {
		own := config
		own.Registerer, own.PlainHTTP = nil, at == plain
		if at == plain {
			own.HTTPSAddr, own.Certificates = "", nil
		}
		s := newServer(f, own)
		s.Inherit("http", at)
		run(f, s)
	}
	want = config.Key("").PEM()
	f.Fuzz(func(t *testing.T, input []byte) {
		all, bodies := answers(t, plain.say(input))
		for i, response := range all {
			if bytes.Contains(bodies[i], []byte("PRIVATE")) || contains(response.Header, "PRIVATE") {
				t.Fatalf("got %+v, %q", response, bodies[i])
			}
			if is200 := response.StatusCode == 200; is200 && len(bodies[i]) > 0 && !bytes.Equal(bodies[i], want) {
				t.Fatalf("got %q", bodies[i])
			}
		}
		all, bodies = answers(t, redirects.say(input))
		for i, response := range all {
			if to := response.Header.Get("Location"); to != "" {
				said, ours := strings.CutPrefix(to, "https://"+domain+"/")
				path, query, _ := strings.Cut(said, "?")
				if asked := unescape(string(input)); !ours || response.StatusCode != 308 || !strings.Contains("/"+asked, "/"+unescape(path)) || !strings.Contains(asked, unescape(query)) {
					t.Fatalf("%d leads to %q", response.StatusCode, to)
				}
				response.Header.Del("Location") // it holds what was said
			}
			if bytes.Contains(bodies[i], []byte("PRIVATE")) || contains(response.Header, "PRIVATE") || response.StatusCode == 200 {
				t.Fatalf("got %+v, %q", response, bodies[i])
			}
		}
	})
}

var escaped = regexp.MustCompile("%[0-9A-Fa-f]{2}")

// unescape decodes what is percent-encoded in text, and keeps all else.
func unescape(text string) string {
	return escaped.ReplaceAllStringFunc(text, func(code string) string {
		b, _ := hex.DecodeString(code[1:]) // two digits, by the expression
		return string(b)
	})
}

func contains(h http.Header, word string) bool {
	for name, values := range h {
		if strings.Contains(strings.ToUpper(name), word) || slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, word) }) {
			return true
		}
	}
	return false
}

// FuzzProxyHeader: whatever a proxy puts before a connection, the client is an
// address or the connection ends, and what follows the header is all there, byte
// for byte: nothing of it is read as a header, and nothing of a header as a request.
func FuzzProxyHeader(f *testing.F) {
	const rest = "GET / HTTP/1.1\r\n\r\n"
	for _, header := range []string{
		"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "PROXY UNKNOWN\r\n", "PROXY UNKNOWN x y\r\n",
		"PROXY TCP4 a b 1 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 99999 -1\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x12\x67\x01\xbb", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00",
		"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("x", 216), "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x00", "PROXY", "",
	} {
		f.Add([]byte(header), []byte(rest))
	}
	f.Fuzz(func(t *testing.T, header, rest []byte) {
		conn := &said{in: bytes.NewReader(slices.Concat(header, rest)), hangUp: func() {}}
		client, err := server.ReadProxyHeader(conn)
		if err != nil {
			return
		}
		remote, err := netip.ParseAddrPort(client.RemoteAddr().String())
		if err != nil || !remote.Addr().IsValid() {
			t.Fatalf("the client is %v", client.RemoteAddr())
		}
		got, err := io.ReadAll(client)
		if err != nil {
			t.Fatal(err)
		}
		if input := slices.Concat(header, rest); !bytes.HasSuffix(input, got) || len(got) == len(input) {
			t.Fatalf("of %q, what follows is %q", input, got)
		}
	})
}
