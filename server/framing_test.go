package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"wellkey/server"
)

// raw sends bytes and returns the first answer. The connection must end after
// it, with nothing more on it.
func raw(t *testing.T, addr, request string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer func() { _ = conn.Close() }()
	must(t, conn.SetDeadline(time.Now().Add(patience))) // less than the server's own, see Unhurried
	_, err = io.WriteString(conn, request)
	must(t, err)
	got, rest := readReply(t, conn, strings.HasPrefix(request, "HEAD "))
	if more, err := io.ReadAll(rest); len(more) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("after the answer: %q, %v; want the end", more, err)
	}
	return got
}

func readReply(t *testing.T, conn net.Conn, head bool) (reply, io.Reader) {
	t.Helper()
	reader := bufio.NewReader(conn)
	request := &http.Request{Method: "GET"}
	if head {
		request.Method = "HEAD"
	}
	response, err := http.ReadResponse(reader, request)
	must(t, err)
	body, err := io.ReadAll(response.Body)
	must(t, err)
	got := reply{Status: response.StatusCode, Header: map[string]string{}, Body: string(body)}
	for name, values := range response.Header {
		got.Header[name] = strings.Join(values, " | ")
	}
	if response.Close {
		got.Header["Connection"] = "close" // ReadResponse takes it out
	}
	return got, reader
}

func TestFraming(t *testing.T) {
	config, _ := configure(t)
	config.PlainHTTP = true
	s := start(t, config)
	const get, post = "GET " + server.KeyPath + " HTTP/1.1\r\nHost: keys.example.com\r\n", "POST " + server.KeyPath + " HTTP/1.1\r\nHost: keys.example.com\r\n"
	const smuggled = "GET / HTTP/1.1\r\nHost: keys.example.com\r\n\r\n"
	for _, tc := range []struct {
		name, request string
		want          int
	}{
		{"length and chunks", get + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
		{"chunks and length", post + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + smuggled, 400},
		{"chunks", get + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400},
		{"chunk extension", get + "Transfer-Encoding: chunked\r\n\r\n0;a=\"\n\"\r\n\r\n" + smuggled, 400},
		{"two transfer encodings", get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 501},
		{"odd transfer encoding", get + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled, 501},
		{"two lengths", get + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + smuggled, 400},
		{"negative length", get + "Content-Length: -1\r\n\r\n" + smuggled, 400},
		{"signed length", get + "Content-Length: +1\r\n\r\n" + smuggled, 400},
		{"length list", get + "Content-Length: 0, 44\r\n\r\n" + smuggled, 400},
		{"space before colon", get + "Content-Length : 44\r\n\r\n" + smuggled, 400},
		{"no host", "GET " + server.KeyPath + " HTTP/1.1\r\n\r\n" + smuggled, 400},
		{"two hosts", get + "Host: evil.example\r\n\r\n" + smuggled, 400},
		{"odd host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + smuggled, 400},
		{"nul in a value", get + "A: \x00\r\n\r\n" + smuggled, 400},
		{"line break in a name", get + "A\rB: c\r\n\r\n" + smuggled, 400},
		{"no slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled, 400},
		{"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled, 400},
		{"odd method", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n" + smuggled, 400},
		{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
		{"odd version", "GET / HTTP/3.0\r\nHost: a\r\n\r\n" + smuggled, 505},
		{"huge header", get + "A: " + strings.Repeat("a", 16<<10) + "\r\n\r\n", 431},
		{"expectation", get + "Expect: 200-ok\r\n\r\n" + smuggled, 417},
		{"body is no request", post + "Content-Length: " + strconv.Itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 405},
		{"body on a get", get + "Content-Length: " + strconv.Itoa(len(smuggled)) + "\r\n\r\n" + smuggled, 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := raw(t, s.HTTPAddr(), tc.request)
			if got.Status != tc.want || got.Header["Connection"] != "close" {
				t.Errorf("got %+v, want %d and the end of the connection", got, tc.want)
			}
		})
	}
}

// A body that never comes does not hold the answer back.
func TestBodyIsNotAwaited(t *testing.T) {
	config, _ := configure(t)
	config.PlainHTTP = true
	s := start(t, config)
	conn, err := net.Dial("tcp", s.HTTPAddr())
	must(t, err)
	defer func() { _ = conn.Close() }()
	must(t, conn.SetDeadline(time.Now().Add(patience))) // less than the server's own, see Unhurried
	_, err = io.WriteString(conn, "POST "+server.KeyPath+" HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
	must(t, err)
	if got, _ := readReply(t, conn, false); got.Status != 405 {
		t.Errorf("got %+v, want 405", got)
	}
}

// Requests without a body keep their connection, also where the answer is no.
func TestKeepAlive(t *testing.T) {
	config, _ := configure(t)
	config.PlainHTTP = true
	s := start(t, config)
	conn, err := net.Dial("tcp", s.HTTPAddr())
	must(t, err)
	defer func() { _ = conn.Close() }()
	for _, path := range []string{server.KeyPath, "/", server.KeyPath} {
		_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		must(t, err)
		if got, _ := readReply(t, conn, false); got.Header["Connection"] != "" {
			t.Errorf("%s: got %+v, want the connection kept", path, got)
		}
	}
}
