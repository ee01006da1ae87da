package upstream_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/server/peer"
	"wellkey/server/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Every trouble has its cause and its fix.
func TestDiagnose(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	var seen []string
	for _, tc := range []struct {
		err                error
		reason, cause, fix string
		code               int
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "refused",
			"nothing listens there: the application does not run, listens on another port, or only on the loopback of its own container",
			"Start it, or correct upstream. Inside a container localhost is that container alone: name the other by its service, and let it listen on 0.0.0.0", 502},
		{dial(os.NewSyscallError("connect", syscall.ENOENT)), "refused",
			"there is no such socket: the application does not run, or its directory is not mounted here",
			"Start it, or correct upstream; both containers must have the directory of the socket", 502},
		{dial(os.NewSyscallError("connect", syscall.EACCES)), "forbidden", "this user may not open the socket",
			"Let the group or everybody write to the socket, or run both as one user", 502},
		{dial(&net.DNSError{Err: "no such host"}), "unknown_name", "nobody knows this name here",
			"Write the name of the application's service, and put both containers into one network; or write its IP address", 502},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "unreachable", "the address does not answer at all",
			"Check the address of upstream, and firewalls between the two", 504},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "untrusted", "its certificate is not signed by an authority that is trusted here",
			"Set upstream_roots to the authority's certificate; for a self-signed one, as tesla-http-proxy has, to that, or set upstream_skip_verify", 502},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}}, "untrusted", "its certificate is not signed by an authority that is trusted here",
			"Set upstream_roots to the authority's certificate; for a self-signed one, as tesla-http-proxy has, to that, or set upstream_skip_verify", 502},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, "expired", "its certificate is out of date, or the clock of one of the two is wrong",
			"Renew it; on a network that you trust upstream_skip_verify accepts it anyway", 502},
		{&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}}, "wrong_name", "its certificate is for another name",
			"Write upstream with a name that the certificate has, or set upstream_skip_verify", 502},
		{tls.AlertError(40), "tls", "the TLS handshake failed", "Look into the application's log: it may be too old for TLS 1.2, or want a client certificate", 502},
		{errors.New("net/http: TLS handshake timeout"), "tls", "the TLS handshake failed", "Look into the application's log: it may be too old for TLS 1.2, or want a client certificate", 502},
		{errors.New("http: server gave HTTP response to HTTPS client"), "not_tls", "it speaks plain HTTP there", "Write upstream with http instead of https", 502},
		{errors.New(`net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15"`), "not_http", "it answers with something else than HTTP",
			"Correct the port of upstream; write https instead of http if it is one of TLS", 502},
		{timeout{}, "timeout", "it took the request, but began no answer within 5 minutes", "Look into the application's log", 504},
		{io.EOF, "broken_off", "it closed the connection before the answer was complete", "Look into the application's log: it may have crashed, or be restarting", 502},
		{os.NewSyscallError("read", syscall.ECONNRESET), "broken_off", "it closed the connection before the answer was complete", "Look into the application's log: it may have crashed, or be restarting", 502},
		{dial(os.NewSyscallError("socket", syscall.EMFILE)), "other", "too many files are open here, so no connection can be made; the application is not to blame",
			"Raise LimitNOFILE or ulimit -n; for the whole machine, fs.file-max", 502},
		{dial(os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)), "other", "this machine has no free port for one more connection to that address; the application is not to blame",
			"Widen net.ipv4.ip_local_port_range, or look why so many connections are open", 502},
		{errors.New("x"), "other", "most likely its answer breaks the rules of HTTP: a header of more than 256 kB, a length that is none, or another protocol than was asked for",
			"Take what was said as the clue, and look into the application's log for what it answered then", 502},
	} {
		for _, err := range []error{tc.err, fmt.Errorf("around it: %w", tc.err)} {
			reason, cause, fix, code := upstream.Diagnose(err)
			if reason != tc.reason || cause != tc.cause || fix != tc.fix || code != tc.code {
				t.Errorf("%v: got %d, %s: %s; %s", err, code, reason, cause, fix)
			}
			seen = append(seen, reason)
		}
		if upstream.Sentences[tc.code] == "" {
			t.Errorf("visitors are not told of %d", tc.code)
		}
	}
	for _, reason := range upstream.Reasons() {
		if !slices.Contains(seen, reason) && reason != "loop" && reason != "unread" { // TestUpstreamLoop, TestUnread
			t.Errorf("%s is not tried", reason)
		}
	}
}

// The likely cause of what has no other is one of those.
func TestBreaksTheRules(t *testing.T) {
	for answer, said := range map[string]string{
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 300<<10) + "\r\n\r\n": "exceeded",
		"HTTP/1.1 200 OK\r\nContent-Length: all\r\n\r\n":                     "Content-Length",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                           "protocol",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		core, logs := observer.New(zap.DebugLevel)
		p, err := upstream.New(upstream.Config{Scheme: "http", Addr: l.Addr().String(), Logger: zap.New(core)})
		must(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, answer)
			_, _ = io.Copy(io.Discard, conn)
		}()
		code := p.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil), peer.Origin{}, "http")
		p.Close()
		<-done
		_ = l.Close()
		if known := p.Status().Trouble; code != 502 || logs.Len() != 1 || logs.All()[0].ContextMap()["reason"] != "other" || !strings.Contains(known.Error, said) {
			t.Errorf("%.30q: got %d, %+v, logged %v", answer, code, known, logs.All())
		}
	}
}

type timeout struct{}

func (timeout) Error() string   { return "net/http: timeout awaiting response headers" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func TestIsForwarding(t *testing.T) {
	for name, want := range map[string]bool{
		"X-Forwarded-For": true, "X-Forwarded-Anything": true, "Forwarded": true, "X-Real-Ip": true, "X_forwarded_for": true, "X_real_ip": true,
		"Cookie": false, "X-Request-Id": false, "My_field": false, "Authorization": false,
	} {
		if got := upstream.IsForwarding(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []upstream.Config{{}, {Scheme: "http"}, {Scheme: "ftp", Addr: "a"}, {Scheme: "http", Addr: "a", Socket: "/b"}} {
		if _, err := upstream.New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// clock is a ResponseWriter that notes how its deadlines are set.
type clock struct {
	*httptest.ResponseRecorder
	read, write []bool // whether there was one
}

func (c *clock) SetReadDeadline(t time.Time) error {
	c.read = append(c.read, !t.IsZero())
	return nil
}

func (c *clock) SetWriteDeadline(t time.Time) error {
	c.write = append(c.write, !t.IsZero())
	return nil
}

// Each read and write of a body has a deadline, and between two there is none, so
// that a stream may rest; the end, which net/http writes by itself, has one again.
func TestDeadlines(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer app.Close()
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: app.Listener.Addr().String()})
	must(t, err)
	defer p.Close()
	c := &clock{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, 100)))
	if code := p.Serve(c, r, peer.Origin{}, "http"); code != 200 || c.Body.Len() != 100 {
		t.Fatalf("got %d and %d bytes", code, c.Body.Len())
	}
	if len(c.read) < 3 || c.read[0] || !c.read[1] || c.read[len(c.read)-1] {
		t.Errorf("deadlines of reads: %v", c.read)
	}
	if len(c.write) < 4 || c.write[0] || !c.write[1] || c.write[2] || !c.write[len(c.write)-1] {
		t.Errorf("deadlines of writes: %v", c.write)
	}
}

// The log has a line a minute, without what the visitor asked for.
func TestLogIsQuiet(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: "127.0.0.1:1", Logger: zap.New(core)})
	must(t, err)
	defer p.Close()
	for range 100 {
		if code := p.Serve(httptest.NewRecorder(), httptest.NewRequest("GET", "/callback?code=canary", nil), peer.Origin{}, "http"); code != 502 {
			t.Fatalf("got %d", code)
		}
	}
	if n := logs.Len(); n != 1 {
		t.Errorf("%d lines", n)
	}
	for _, line := range logs.All() {
		if strings.Contains(fmt.Sprint(line.ContextMap()), "canary") {
			t.Errorf("the log has what the visitor asked for: %v", line)
		}
	}
}

// An application that fails and answers in turns fills no log, whoever makes it do so.
func TestLogIsQuietInTurns(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/half" {
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "h")
		}
	}))
	defer app.Close()
	core, logs := observer.New(zap.DebugLevel)
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: app.Listener.Addr().String(), Logger: zap.New(core)})
	must(t, err)
	defer p.Close()
	for range 50 {
		for path, want := range map[string]int{"/half": -200, "/whole": 200} {
			ctx := context.WithValue(t.Context(), http.ServerContextKey, &http.Server{}) // else httputil does not tell that an answer broke off
			if code := p.Serve(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", path, nil), peer.Origin{}, "http"); code != want {
				t.Fatalf("%s: got %d", path, code)
			}
		}
	}
	if n := logs.Len(); n != 2 {
		t.Errorf("%d lines, want one that it fails, and one that it answers: %v", n, logs.All())
	}
}

// What the transport would not send is answered here, and the application is not blamed:
// else anybody could have it look broken, and close the connections to it.
func TestMalformed(t *testing.T) {
	var conns atomic.Int32
	app := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	app.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	app.Start()
	defer app.Close()
	core, logs := observer.New(zap.DebugLevel)
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: app.Listener.Addr().String(), Logger: zap.New(core)})
	must(t, err)
	defer p.Close()
	visit := func(what string, change func(*http.Request)) int {
		r := httptest.NewRequest("GET", "/", nil)
		change(r)
		code := p.Serve(httptest.NewRecorder(), r, peer.Origin{}, "http")
		if code != 200 && code != 400 {
			t.Errorf("%s: got %d", what, code)
		}
		return code
	}
	good, names := 0, 0
	for c := range 256 {
		text := "a" + string([]byte{byte(c)}) + "b"
		if visit(fmt.Sprintf("host %q", text), func(r *http.Request) { r.Host = text }) == 200 {
			good++
		}
		if visit(fmt.Sprintf("trailer %q", text), func(r *http.Request) { r.Trailer = http.Header{text: nil} }) == 200 {
			names++
		}
		visit(fmt.Sprintf("upgrade %q", text), func(r *http.Request) { r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {text}} })
	}
	if want := 62 + len("-._~!$&'()*+,;=%:[]"); good != want {
		t.Errorf("%d bytes may stand in a host, want %d", good, want)
	}
	if want := 62 + len("-._~!#$%&'*+^`|"); names != want {
		t.Errorf("%d bytes may stand in the name of a trailer, want %d", names, want)
	}
	for host, want := range map[string]int{"": 200, "app.example.com:8443": 200, "[2001:db8::1]:443": 200, "xn--bcher-kva.example": 200, "xn--\u00e9": 400, "b\u00fccher.example": 400} {
		if got := visit(host, func(r *http.Request) { r.Host = host }); got != want {
			t.Errorf("host %q: got %d, want %d", host, got, want)
		}
	}
	if logs.Len() > 0 || conns.Load() != 1 {
		t.Errorf("%d connections were made, and the log has %v", conns.Load(), logs.All())
	}
}

// After the end visitors are told to come again.
func TestClosed(t *testing.T) {
	p, err := upstream.New(upstream.Config{Scheme: "http", Addr: "127.0.0.1:1"})
	must(t, err)
	p.Close()
	w := httptest.NewRecorder()
	if code := p.Serve(w, httptest.NewRequest("GET", "/", nil), peer.Origin{}, "http"); code != 503 || w.Header().Get("Retry-After") != "60" {
		t.Errorf("got %d, %v", code, w.Header())
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, err := upstream.New(upstream.Config{Scheme: "http", Addr: "a", Registerer: registry})
	must(t, err)
	problems, err := testutil.GatherAndLint(registry)
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n, err := testutil.GatherAndCount(registry, "wellkey_upstream_errors_total"); n != len(upstream.Reasons()) || err != nil {
		t.Errorf("%d reasons, %v", n, err)
	}
}
