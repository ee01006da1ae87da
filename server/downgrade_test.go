package server_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What HTTP/2 can carry and HTTP/1 cannot does not become another request for the
// application.
func TestDowngrade(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, string(body))
	})
	config, certs := configure(t)
	config.Upstream = a.config()
	s := start(t, config)
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\nSmuggled: yes\r\n\r\n"
	for name, tc := range map[string]struct {
		path   string
		fields []string // name and value
		body   string
	}{
		"transfer encoding":        {"/app", []string{"transfer-encoding", "chunked"}, "0\r\n\r\n" + smuggled},
		"length and encoding":      {"/app", []string{"content-length", "5", "transfer-encoding", "chunked"}, "0\r\n\r\n" + smuggled},
		"short length":             {"/app", []string{"content-length", "3"}, "abc" + smuggled},
		"two lengths":              {"/app", []string{"content-length", "3", "content-length", "0"}, "abc" + smuggled},
		"line break in a value":    {"/app", []string{"a", "b\r\nSmuggled: yes"}, ""},
		"request in a value":       {"/app", []string{"a", "b\r\n\r\n" + smuggled}, ""},
		"line break in a name":     {"/app", []string{"a\r\nsmuggled", "yes"}, ""},
		"colon in a name":          {"/app", []string{"smuggled: yes\r\na", "b"}, ""},
		"line break in the path":   {"/app HTTP/1.1\r\nSmuggled: yes\r\nA: b", nil, ""},
		"space in the path":        {"/app HTTP/1.1", nil, ""},
		"connection names a field": {"/app", []string{"connection", "x-forwarded-for"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain, NextProtos: []string{"h2"}})
			must(t, err)
			defer func() { _ = conn.Close() }()
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err = io.WriteString(conn, http2.ClientPreface)
			must(t, err)
			framer := http2.NewFramer(conn, conn)
			must(t, framer.WriteSettings())
			var block bytes.Buffer
			encoder := hpack.NewEncoder(&block)
			fields := append([]string{":method", "POST", ":scheme", "https", ":authority", domain, ":path", tc.path}, tc.fields...)
			for i := 0; i < len(fields); i += 2 {
				must(t, encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
			}
			must(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: tc.body == ""}))
			if tc.body != "" {
				_ = framer.WriteData(1, true, []byte(tc.body)) // it may have been refused already
			}
			for done := false; !done; { // until it is answered, refused or cut
				frame, err := framer.ReadFrame()
				if err != nil {
					break
				}
				switch f := frame.(type) {
				case *http2.RSTStreamFrame, *http2.GoAwayFrame:
					done = true
				case *http2.HeadersFrame:
					done = f.StreamEnded()
				case *http2.DataFrame:
					done = f.StreamEnded()
				}
			}
		})
	}
	for _, r := range a.requests() {
		if r.Header.Get("Smuggled") != "" || r.Method != "POST" || !strings.HasPrefix(r.RequestURI, "/app") || strings.ContainsAny(r.RequestURI, " \r\n") || r.Header.Get("X-Forwarded-For") != "127.0.0.1" {
			t.Errorf("the application got %s %s %v", r.Method, r.RequestURI, r.Header)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, body := range bodies {
		if len(body) > 0 && len(body) < len(smuggled) && strings.Contains(smuggled, body) {
			t.Errorf("a part of a body came alone: %q", body)
		}
	}
}
