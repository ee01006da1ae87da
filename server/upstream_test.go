package server_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/testhost"
	"wellkey/server"
	"wellkey/server/trouble"
	"wellkey/server/upstream"
)

// An app is an application that remembers what it was asked.
type app struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request // guarded by mu
}

// newApp starts an application with a handler, or one that answers with the
// request line.
func newApp(t testing.TB, handler http.HandlerFunc) *app {
	t.Helper()
	a := &app{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.seen = append(a.seen, r)
		a.mu.Unlock()
		if handler == nil {
			_, _ = io.WriteString(w, r.Method+" "+r.RequestURI)
			return
		}
		handler(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *app) config() *upstream.Config {
	u, _ := url.Parse(a.URL)
	return &upstream.Config{Scheme: u.Scheme, Addr: u.Host}
}

// requests returns what came so far.
func (a *app) requests() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*http.Request(nil), a.seen...)
}

// Every path but those that are ours goes to the application, over HTTPS and
// behind a proxy that ends TLS.
func TestUpstreamPaths(t *testing.T) {
	a := newApp(t, nil)
	config, certs := configure(t)
	certs.challenges = map[string]string{"/.well-known/acme-challenge/token": "x"}
	config.PlainHTTP = true
	config.Upstream = a.config()
	s := start(t, config)
	key := string(config.Key("").PEM())
	const passed = "passed" // the application answers with the request line
	for _, tc := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", server.KeyPath, 200, key},
		{"GET", server.KeyPath + "?x=y", 200, key},
		{"HEAD", server.KeyPath, 200, ""},
		{"POST", server.KeyPath, 405, "Only GET and HEAD are allowed here.\n"},
		{"GET", server.KeyPath + "/", 404, "Not found.\n"},
		{"GET", "/x/.." + server.KeyPath, 404, "Not found.\n"},
		{"GET", "/.well-known//appspecific/com.tesla.3p.public-key.pem", 404, "Not found.\n"},
		{"GET", "/.well-known/appspecific/com.tesla.3p.public-key%2Epem", 404, "Not found.\n"},
		{"GET", "/%2Ewell-known%2fappspecific/com.tesla.3p.public-key.pem", 404, "Not found.\n"},
		{"GET", `/.well-known\appspecific\com.tesla.3p.public-key.pem`, 404, "Not found.\n"},
		{"GET", "/.WELL-KNOWN/appspecific/com.tesla.3p.public-key.pem", 404, "Not found.\n"},
		{"GET", "/.well-known/appspecific/com.tesla.3p.private-key.pem", 404, "Not found.\n"},
		{"GET", "/.well-known/acme-challenge", 404, "Not found.\n"},
		{"GET", "/.well-known/acme-challenge/none", 404, "Not found.\n"},
		{"GET", "/x/../.well-known/acme-challenge/none", 404, "Not found.\n"},
		{"GET", "/.well-known/security.txt", 200, passed},
		{"GET", "/.well-known/appspecific/com.chrome.devtools.json", 200, passed},
		{"GET", "/", 200, passed},
		{"POST", "/", 200, passed},
		{"OPTIONS", "/", 200, passed},
		{"DELETE", "/a%2fb//c/../d?x=%zz;y=1", 200, passed},
		{"TRACE", "/", 405, "This method is not allowed here.\n"},
	} {
		for name, get := range map[string]func() reply{
			"h1": func() reply {
				return ask(t, client(t, s.HTTPSAddr(), certs, false), tc.method, "https://"+domain, tc.path, nil)
			},
			"h2": func() reply {
				return ask(t, client(t, s.HTTPSAddr(), certs, true), tc.method, "https://"+domain, tc.path, nil)
			},
			"plain": func() reply {
				return ask(t, client(t, s.HTTPAddr(), certs, false), tc.method, "http://"+domain, tc.path, nil)
			},
		} {
			before := len(a.requests())
			got := get()
			want, came := tc.body, 0
			if want == passed {
				want, came = tc.method+" "+tc.path, 1
			}
			if got.Status != tc.status || got.Body != want || len(a.requests())-before != came {
				t.Errorf("%s %s, %s: got %d %q, %d requests at the application", tc.method, tc.path, name, got.Status, got.Body, len(a.requests())-before)
			}
		}
	}
}

// Port 80 leads to HTTPS, also with an application.
func TestUpstreamAndRedirect(t *testing.T) {
	a := newApp(t, nil)
	config, certs := configure(t)
	config.Upstream = a.config()
	s := start(t, config)
	if status := s.Upstream(); *status != (upstream.Status{Target: a.URL}) {
		t.Errorf("before anybody came the status is %+v", status)
	}
	got := ask(t, client(t, s.HTTPAddr(), certs, false), "GET", "http://"+domain, "/app", nil)
	if got.Status != 308 || got.Header["Location"] != "https://"+domain+"/app" || len(a.requests()) > 0 {
		t.Errorf("got %+v", got)
	}
}

// What says who the visitor is comes from us, unless a trusted proxy said it.
func TestUpstreamFields(t *testing.T) {
	pretended := http.Header{
		"X-Forwarded-For": {"198.51.100.1, 198.51.100.2"}, "X-Forwarded-Host": {"outside.example"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"},
		"X-Real-Ip": {"198.51.100.1"}, "Forwarded": {""}, "Cf-Connecting-Ip": {"198.51.100.1"}, "Cookie": {"a=b"},
		"X_forwarded_for": {"198.51.100.1"}, "X_real-Ip": {"198.51.100.1"}, "X-Forwarded_for": {"198.51.100.3"}, "X-Real_ip": {"198.51.100.3"}, "Te": {"trailers"}, "Connection": {"X-Hop"}, "X-Hop": {"x"},
	}
	for _, tc := range []struct {
		name    string
		trusted []netip.Prefix
		want    map[string]string // "" is none
	}{
		{"stranger", nil, map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": domain, "X-Forwarded-Proto": "http", "X-Forwarded-Port": "",
			"X-Real-Ip": "", "Forwarded": "", "Cf-Connecting-Ip": "", "Cookie": "a=b", "X_forwarded_for": "", "X_real-Ip": "", "X-Forwarded_for": "", "X-Real_ip": "", "X-Hop": "", "User-Agent": "",
		}},
		{"trusted proxy", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, map[string]string{
			"X-Forwarded-For": "198.51.100.2, 127.0.0.1", "X-Forwarded-Host": "outside.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443",
			"X-Real-Ip": "198.51.100.1", "Forwarded": "", "Cookie": "a=b", "X_forwarded_for": "", "X_real-Ip": "", "X-Forwarded_for": "", "X-Real_ip": "",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newApp(t, nil)
			config, certs := configure(t)
			config.PlainHTTP, config.Upstream, config.TrustedProxies = true, a.config(), tc.trusted
			s := start(t, config)
			header := pretended.Clone()
			header["User-Agent"] = []string{""}
			if got := ask(t, client(t, s.HTTPAddr(), certs, false), "GET", "http://"+domain, "/", header); got.Status != 200 {
				t.Fatalf("got %+v", got)
			}
			r := a.requests()[0]
			for name, want := range tc.want {
				if got := strings.Join(r.Header[name], " | "); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if r.Host != domain || r.ProtoMajor != 1 {
				t.Errorf("host %q, %s", r.Host, r.Proto)
			}
		})
	}
}

// A request of TLS says so.
func TestUpstreamProto(t *testing.T) {
	a := newApp(t, nil)
	config, certs := configure(t)
	config.Upstream = a.config()
	s := start(t, config)
	for _, http2 := range []bool{false, true} {
		ask(t, client(t, s.HTTPSAddr(), certs, http2), "GET", "https://"+domain, "/", nil)
	}
	for _, r := range a.requests() {
		if got := r.Header.Get("X-Forwarded-Proto"); got != "https" {
			t.Errorf("got %q", got)
		}
	}
}

// While the application fails, the key is served, the visitor is told, and so is
// the log, once.
func TestUpstreamDown(t *testing.T) {
	addr, err := testhost.Addr()
	must(t, err)
	config, certs := configure(t)
	core, logs := observer.New(zap.InfoLevel)
	config.Logger = zap.New(core)
	config.Upstream = &upstream.Config{Scheme: "http", Addr: addr}
	s := start(t, config)
	for _, http2 := range []bool{false, true} {
		c := client(t, s.HTTPSAddr(), certs, http2)
		for range 3 {
			got := ask(t, c, "POST", "https://"+domain, "/", nil)
			if got.Status != 502 || got.Body != "The application behind this server cannot be reached. Please try again in a minute.\n" ||
				got.Header["Retry-After"] != "60" || got.Header["Cache-Control"] != "no-store" {
				t.Errorf("got %+v", got)
			}
		}
		if got := ask(t, c, "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
			t.Errorf("the key: got %+v", got)
		}
	}
	lines := logs.FilterMessage("the application behind upstream fails; the key is still served").All()
	if len(lines) != 1 {
		t.Fatalf("%d lines in the log, want 1", len(lines))
	}
	fields := lines[0].ContextMap()
	if fields["upstream"] != "http://"+addr || fields["reason"] != "refused" || !strings.HasPrefix(fields["cause"].(string), "nothing listens there") || !strings.HasPrefix(fields["fix"].(string), "Start it") {
		t.Errorf("logged %v", fields)
	}
	got := series(t, registryOf(config))
	if got["wellkey_upstream_errors_total{reason=refused}"] != 6 || got["wellkey_http_requests_total{code=5xx,listener=https,method=other,route=upstream}"] != 6 {
		t.Errorf("counted %v errors, %v answers", got["wellkey_upstream_errors_total{reason=refused}"], got["wellkey_http_requests_total{code=5xx,listener=https,method=other,route=upstream}"])
	}

	if status := s.Upstream(); status.Target != "http://"+addr || status.Total != 6 || status.Open != 0 || !strings.HasPrefix(status.Trouble.Cause, "nothing listens there") ||
		!strings.HasPrefix(status.Trouble.Fix, "Start it") || !strings.Contains(status.Trouble.Error, "connection refused") || !status.Trouble.Last.After(status.Trouble.Since) {
		t.Errorf("the status is %+v", status)
	}

	back, err := net.Listen("tcp", addr)
	must(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })}
	go func() { _ = srv.Serve(back) }()
	defer func() { _ = srv.Close() }()
	if got := ask(t, client(t, s.HTTPSAddr(), certs, true), "GET", "https://"+domain, "/", nil); got.Status != 204 {
		t.Errorf("afterwards: got %+v", got)
	}
	if n := logs.FilterMessage("the application behind upstream answers again").Len(); n != 1 {
		t.Errorf("%d lines about the recovery, want 1", n)
	}
	if status := s.Upstream(); status.Total != 7 || status.Trouble != (trouble.Trouble{}) {
		t.Errorf("afterwards the status is %+v", status)
	}
}

// An answer that breaks off does not look whole.
func TestUpstreamBreaksOff(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	config, certs := configure(t)
	config.Upstream = a.config()
	s := start(t, config)
	for _, http2 := range []bool{false, true} {
		response, err := client(t, s.HTTPSAddr(), certs, http2).Get("https://" + domain + "/")
		must(t, err)
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if string(body) != "half" || err == nil {
			t.Errorf("h2 %v: got %q, %v; want an error", http2, body, err)
		}
	}
	if known := s.Upstream().Trouble; !strings.HasPrefix(known.Cause, "it closed the connection") {
		t.Errorf("the trouble is %+v", known)
	}
	got := series(t, registryOf(config))
	if got["wellkey_upstream_errors_total{reason=broken_off}"] != 2 || got["wellkey_http_panics_total{}"] != 0 ||
		got["wellkey_http_requests_total{code=2xx,listener=https,method=GET,route=upstream}"] != 2 {
		t.Errorf("counted %v", got)
	}
}

// A Unix socket and an application with a certificate of its own.
func TestUpstreamTransports(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") })
	quiet := zap.NewStdLog(zap.NewNop())
	secure := httptest.NewUnstartedServer(handler)
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(handler)
	defer plain.Close()
	socket := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", socket)
	must(t, err)
	unix := &http.Server{Handler: handler}
	go func() { _ = unix.Serve(l) }()
	defer func() { _ = unix.Close() }()
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	addr := secure.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	for _, tc := range []struct {
		name   string
		config upstream.Config
		reason string // "" is none
	}{
		{"socket", upstream.Config{Scheme: "http", Socket: socket}, ""},
		{"no socket", upstream.Config{Scheme: "http", Socket: socket + "x"}, "refused"},
		{"roots", upstream.Config{Scheme: "https", Addr: addr, Roots: roots}, ""},
		{"any certificate", upstream.Config{Scheme: "https", Addr: addr, SkipVerify: true}, ""},
		{"untrusted", upstream.Config{Scheme: "https", Addr: addr}, "untrusted"},
		{"another name", upstream.Config{Scheme: "https", Addr: "localhost:" + port, Roots: roots}, "wrong_name"},
		{"plain for TLS", upstream.Config{Scheme: "https", Addr: plain.Listener.Addr().String()}, "not_tls"},
		{"unknown name", upstream.Config{Scheme: "http", Addr: "none.invalid:80"}, "unknown_name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			config, certs := configure(t)
			config.Upstream = &tc.config
			s := start(t, config)
			got := ask(t, client(t, s.HTTPSAddr(), certs, true), "GET", "https://"+domain, "/", nil)
			if tc.reason == "" {
				if got.Status != 200 || got.Body != "app" {
					t.Errorf("got %+v", got)
				}
				return
			}
			if n := series(t, registryOf(config))["wellkey_upstream_errors_total{reason="+tc.reason+"}"]; got.Status != 502 || n != 1 {
				t.Errorf("got %+v, %v errors of %s", got, n, tc.reason)
			}
		})
	}
}

// An address that leads back to us is found out at the first request.
func TestUpstreamLoop(t *testing.T) {
	addr, err := testhost.Addr()
	must(t, err)
	config, certs := configure(t)
	config.PlainHTTP, config.HTTPAddr = true, addr
	config.Upstream = &upstream.Config{Scheme: "http", Addr: addr}
	s := start(t, config)
	got := ask(t, client(t, s.HTTPAddr(), certs, false), "GET", "http://"+domain, "/", nil)
	if got.Status != 508 || series(t, registryOf(config))["wellkey_upstream_errors_total{reason=loop}"] != 1 {
		t.Errorf("got %+v", got)
	}
	if known := s.Upstream().Trouble; !strings.HasPrefix(known.Cause, "the address leads back to wellkey") {
		t.Errorf("the trouble is %+v", known)
	}
}

// What no request to the application can have is the visitor's fault, who is told so;
// nobody is told that the application fails.
func TestUpstreamMalformed(t *testing.T) {
	a := newApp(t, nil)
	config, _ := configure(t)
	config.PlainHTTP, config.Upstream = true, a.config()
	s := start(t, config)
	for _, sent := range []string{
		"GET http://xn--%c3%a9/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: \xe9\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: a b\r\n\r\n1\r\na\r\n0\r\n\r\n",
	} {
		got := raw(t, s.HTTPAddr(), sent)
		if n := series(t, registryOf(config))["wellkey_upstream_errors_total{reason=other}"]; got.Status != 400 || got.Body != "This request is not well-formed.\n" || n != 0 || len(a.requests()) > 0 {
			t.Errorf("%q: got %+v, and %v failures of the application", sent, got, n)
		}
	}
	if known := s.Upstream().Trouble; known != (trouble.Trouble{}) {
		t.Errorf("the trouble is %+v", known)
	}
}

// The body of a request that nobody passes on is not awaited.
func TestUpstreamBodies(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintf(w, "%d %q %q", r.ContentLength, r.TransferEncoding, body)
	})
	config, certs := configure(t)
	config.PlainHTTP, config.Upstream = true, a.config()
	s := start(t, config)
	for _, http2 := range []bool{false, true} {
		c := client(t, s.HTTPSAddr(), certs, http2)
		for _, tc := range []struct {
			body io.Reader
			want string
		}{
			{nil, `0 [] ""`},
			{bytes.NewReader([]byte("abc")), `3 [] "abc"`},
			{io.MultiReader(strings.NewReader("abc"), strings.NewReader("def")), `-1 ["chunked"] "abcdef"`},
		} {
			request, err := http.NewRequest("POST", "https://"+domain+"/", tc.body)
			must(t, err)
			response, err := c.Do(request)
			must(t, err)
			body, err := io.ReadAll(response.Body)
			must(t, err)
			_ = response.Body.Close()
			if string(body) != tc.want {
				t.Errorf("h2 %v: got %s, want %s", http2, body, tc.want)
			}
		}
	}
}

// While as many requests as there may be hang in the application, and more come, to it
// and to us, none of which says all that it promised, the key is served. How many there
// may be follows from what is held, be that what the operator says or what memory allows.
func TestUpstreamHangs(t *testing.T) {
	for name, few := range map[string]func(*server.Config){
		"max_connections": func(c *server.Config) { c.Limits.Connections = 8 },
		"memory":          func(c *server.Config) { c.Memory = 28<<20 + 3*8*45<<10 },
	} {
		t.Run(name, func(t *testing.T) {
			hangs := make(chan struct{})
			a := newApp(t, func(http.ResponseWriter, *http.Request) { <-hangs })
			defer close(hangs)
			config, certs := configure(t)
			config.Upstream = a.config()
			few(&config)
			s := start(t, config)
			for n := range 24 {
				conn, err := tls.Dial("tcp", s.HTTPSAddr(), &tls.Config{RootCAs: certs.roots, ServerName: domain})
				if err != nil {
					continue // nobody has waited for long enough to lose a place
				}
				t.Cleanup(func() { _ = conn.Close() })
				path := []string{"/", server.KeyPath}[n/12]
				_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\na") // it may be one too many
			}
			visitor := client(t, s.HTTPSAddr(), certs, true)
			await(t, "the key", func() bool {
				request, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+domain+server.KeyPath, nil)
				must(t, err)
				response, err := visitor.Do(request)
				if err != nil {
					return false
				}
				defer func() { _ = response.Body.Close() }()
				return response.StatusCode == http.StatusOK
			})
			if n := len(a.requests()); n > 6 {
				t.Errorf("%d requests are with the application", n)
			}
		})
	}
}

// max_client_connections helps those behind one address: it is how many requests of
// theirs may be with the application, too.
func TestUpstreamClients(t *testing.T) {
	for _, most := range []int{1, 300} {
		hangs := make(chan struct{})
		a := newApp(t, func(http.ResponseWriter, *http.Request) { <-hangs })
		config, _ := configure(t)
		config.Upstream, config.Limits.PerClient = a.config(), most
		s := start(t, config)
		visit := func() int {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = "198.51.100.1:1"
			w := httptest.NewRecorder()
			s.HTTPSHandler().ServeHTTP(w, r)
			return w.Code
		}
		var all sync.WaitGroup
		for range most {
			all.Go(func() {
				if code := visit(); code != 200 {
					t.Errorf("one of %d: got %d", most, code)
				}
			})
		}
		await(t, "the application to have them", func() bool { return len(a.requests()) == most })
		if code := visit(); code != 429 {
			t.Errorf("one more than %d: got %d", most, code)
		}
		close(hangs)
		all.Wait()
	}
}

// An application that answers without the body that was promised holds no place with
// that: where all are taken by clients that have their answer, and send nothing, who comes
// has one of theirs.
func TestUpstreamAnswersWithoutBody(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // else net/http would wait for the body
		w.WriteHeader(http.StatusMethodNotAllowed)
	})
	for listener, base := range map[string]string{"https": "https://" + domain, "http": "http://" + domain} {
		config, certs := configure(t)
		config.PlainHTTP, config.Upstream, config.Limits.Connections = true, a.config(), 4
		s := start(t, config)
		addr := map[string]string{"https": s.HTTPSAddr(), "http": s.HTTPAddr()}[listener]
		ask := func() {
			conn, err := net.Dial("tcp", addr)
			must(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			if listener == "https" {
				conn = tls.Client(conn, &tls.Config{RootCAs: certs.roots, ServerName: domain})
			}
			_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+domain+"\r\nContent-Length: 10\r\n\r\n")
			if err != nil {
				return // nobody has waited for long enough to lose a place
			}
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil && (response.StatusCode != 405 || !response.Close) {
				t.Errorf("%s: got %d, which closes: %v", listener, response.StatusCode, response.Close)
			}
		}
		visitor := client(t, addr, certs, false)
		visitor.Transport.(*http.Transport).DisableKeepAlives = true // so that none of its places is idle
		await(t, "a place", func() bool {
			for range 4 {
				ask()
			}
			await(t, "the key", func() bool {
				response, err := visitor.Get(base + server.KeyPath)
				if err != nil {
					return false
				}
				_ = response.Body.Close()
				return response.StatusCode == 200
			})
			return series(t, registryOf(config))["wellkey_connections_displaced_total{listener="+listener+",state=idle}"] > 0
		})
	}
}

// Such a client is waited for, as an idle one is, so that its place goes to who comes.
func TestUpstreamAwaitsBody(t *testing.T) {
	config, _ := configure(t)
	s := newServer(t, config)
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	r := httptest.NewRequest("POST", "/", nil)
	if !s.Awaits(r.WithContext(s.From(r.Context(), near))) {
		t.Error("it counts as one that is being answered")
	}
}

// What is turned away over HTTP/2 is reset, and its connection goes on: the key is there.
func TestUpstreamTurnsAwayOverHTTP2(t *testing.T) {
	hangs := make(chan struct{})
	a := newApp(t, func(http.ResponseWriter, *http.Request) { <-hangs })
	config, certs := configure(t)
	config.Upstream, config.Limits.Connections = a.config(), 2
	s := start(t, config)
	visitor := client(t, s.HTTPSAddr(), certs, true)
	var first sync.WaitGroup
	first.Go(func() {
		if response, err := visitor.Get("https://" + domain + "/"); err != nil || response.StatusCode != 200 {
			t.Errorf("the first: got %+v, %v", response, err)
		} else {
			_ = response.Body.Close()
		}
	})
	await(t, "the application to have it", func() bool { return len(a.requests()) == 1 })
	if response, err := visitor.Get("https://" + domain + "/"); err == nil {
		t.Errorf("one too many: got %s", response.Status)
		_ = response.Body.Close()
	}
	if got := ask(t, visitor, "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
		t.Errorf("the key: got %+v", got)
	}
	if got := series(t, registryOf(config)); got["wellkey_upstream_rejected_total{reason=total}"] != 1 || got["wellkey_connections{listener=https}"] != 1 {
		t.Errorf("%v were turned away, %v connections are open", got["wellkey_upstream_rejected_total{reason=total}"], got["wellkey_connections{listener=https}"])
	}
	close(hangs)
	first.Wait()
}
