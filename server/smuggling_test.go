package server_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/server"
)

// What two servers may read in two ways is answered 400 and never reaches the
// application, over HTTPS and behind a proxy that ends TLS.
func TestSmuggling(t *testing.T) {
	var whole atomic.Int32
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			whole.Add(1)
		}
	})
	config, certs := configure(t)
	config.PlainHTTP, config.Upstream = true, a.config()
	s := start(t, config)
	dials := map[string]func() net.Conn{
		"plain": func() net.Conn {
			conn, err := net.Dial("tcp", s.HTTPAddr())
			must(t, err)
			return conn
		},
		"tls": func() net.Conn {
			conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain, NextProtos: []string{"http/1.1"}})
			must(t, err)
			return conn
		},
	}
	const get, post = "GET / HTTP/1.1\r\nHost: a\r\n", "POST /app HTTP/1.1\r\nHost: a\r\n"
	const key = "GET " + server.KeyPath + " HTTP/1.1\r\nHost: a\r\n"
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, request := range map[string]string{
		"length and chunks":            post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"chunks and length":            post + "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + smuggled,
		"length and chunks, for key":   key + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"two lengths":                  post + "Content-Length: 5\r\nContent-Length: 0\r\n\r\n" + smuggled,
		"two equal lengths":            post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + smuggled,
		"length list":                  post + "Content-Length: 3, 3\r\n\r\nabc" + smuggled,
		"signed length":                post + "Content-Length: +3\r\n\r\nabc" + smuggled,
		"negative length":              post + "Content-Length: -3\r\n\r\nabc" + smuggled,
		"huge length":                  post + "Content-Length: 99999999999999999999\r\n\r\nabc" + smuggled,
		"space before colon":           post + "Content-Length : 3\r\n\r\nabc" + smuggled,
		"space before colon, encoding": post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"bare line feed":               "GET / HTTP/1.1\nHost: a\r\n\r\n" + smuggled,
		"bare line feed in a field":    get + "A: b\nTransfer-Encoding: chunked\r\n\r\n" + smuggled,
		"bare line feeds":              "GET / HTTP/1.1\nHost: a\n\n" + smuggled,
		"carriage return in a value":   get + "A: b\rTransfer-Encoding: chunked\r\n\r\n" + smuggled,
		"NUL":                          get + "A: \x00\r\n\r\n" + smuggled,
		"folded field":                 get + "A: b\r\n Transfer-Encoding: chunked\r\n\r\n" + smuggled,
		"folded encoding":              post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"two encodings":                post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"encoding list":                post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"unknown encoding":             post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + smuggled,
		"identity":                     post + "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" + smuggled,
		"vertical tab":                 post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + smuggled,
		"quoted encoding":              post + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + smuggled,
		"encoding in HTTP/1.0":         "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
		"chunk size with a sign":       post + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n" + smuggled,
		"chunk size with a prefix":     post + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n" + smuggled,
		"chunk size with a space":      post + "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n" + smuggled,
		"chunk size that overflows":    post + "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n" + smuggled,
		"chunk with a bare line feed":  post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + smuggled,
		"line feed in an extension":    post + "Transfer-Encoding: chunked\r\n\r\n3;a=\"\n\"\r\nabc\r\n0\r\n\r\n" + smuggled,
		"chunk junk":                   post + "Transfer-Encoding: chunked\r\n\r\nGET / HTTP/1.1\r\n\r\n" + smuggled,
		"long chunk":                   post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n" + smuggled,
		"no host":                      "GET / HTTP/1.1\r\n\r\n" + smuggled,
		"two hosts":                    get + "Host: b\r\n\r\n" + smuggled,
		"no colon":                     get + "Transfer-Encoding\r\n\r\n" + smuggled,
		"star":                         "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"empty line in front":          "\r\n" + get + "\r\n" + smuggled,
	} {
		for kind, dial := range dials {
			t.Run(name+", "+kind, func(t *testing.T) {
				conn := dial()
				defer func() { _ = conn.Close() }()
				must(t, conn.SetDeadline(time.Now().Add(patience)))
				_, err := io.WriteString(conn, request)
				must(t, err)
				got, rest := readReply(t, conn, false)
				if got.Status != 400 || got.Header["Connection"] != "close" {
					t.Errorf("got %+v, want 400 and the end of the connection", got)
				}
				if more, _ := io.ReadAll(rest); len(more) > 0 {
					t.Errorf("after the answer: %q", more)
				}
			})
		}
	}
	// A chunk that is too long is seen only behind its data, when the application
	// has the beginning. What it gets then breaks off.
	if whole.Load() > 0 || len(a.requests()) > len(dials) {
		t.Errorf("the application got %d requests, %d of them whole", len(a.requests()), whole.Load())
	}
}

// Bodies as they should be arrive, one after the other on one connection.
func TestChunksForTheApplication(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	config, _ := configure(t)
	config.PlainHTTP, config.Upstream = true, a.config()
	s := start(t, config)
	conn, err := net.Dial("tcp", s.HTTPAddr())
	must(t, err)
	defer func() { _ = conn.Close() }()
	for _, body := range []string{
		"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n3\r\ndef\r\n0\r\nA: b\r\n\r\n", "Content-Length: 6\r\n\r\nabcdef",
		"transfer-encoding: Chunked\r\n\r\n6\r\nabcdef\r\n000\r\n\r\n",
	} {
		_, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\n"+body)
		must(t, err)
		if got, _ := readReply(t, conn, false); got.Status != 200 || got.Body != "abcdef" {
			t.Errorf("%q: got %+v", body, got)
		}
	}
	if n := len(a.requests()); n != 3 {
		t.Errorf("the application got %d requests", n)
	}
	await(t, "all of them to be counted", func() bool { // which is after the answer
		return series(t, registryOf(config))["wellkey_http_requests_total{code=2xx,listener=http,method=other,route=upstream}"] == 3
	})
}
