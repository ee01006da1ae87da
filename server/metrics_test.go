package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/keystore"
	"wellkey/server"
)

func registryOf(config server.Config) *prometheus.Registry {
	return config.Registerer.(*prometheus.Registry)
}

// series returns the value of every series, by its name and labels; of a
// histogram how often it was observed.
func series(t *testing.T, gatherer prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := gatherer.Gather()
	must(t, err)
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, pair := range m.GetLabel() {
				labels = append(labels, pair.GetName()+"="+pair.GetValue())
			}
			all[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

func TestMetricsAreWellFormed(t *testing.T) {
	config, _ := configure(t)
	newServer(t, config)
	problems, err := testutil.GatherAndLint(registryOf(config))
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registryOf(config).Gather()
	must(t, err)
	if len(families) != 11 {
		t.Errorf("got %d metrics, want 11", len(families))
	}
}

func TestCounts(t *testing.T) {
	config, certs := configure(t)
	config.Answer = func(string) string { return "me" }
	s := start(t, config)
	https, http1 := client(t, s.HTTPSAddr(), certs, true), client(t, s.HTTPAddr(), certs, false)
	before := time.Now()
	for _, header := range []http.Header{
		{"User-Agent": {"TeslaV4Watch/4.30 CFNetwork/1490 Darwin/23"}},
		{"User-Agent": {"TeslaV4Watch/4.30"}, "If-None-Match": {"*"}},
		{"User-Agent": {"wellkey/1.0"}, "Wellkey-Probe": {"x"}},
		{"User-Agent": {"curl"}},
		{"User-Agent": {"TeslaV4Watcher"}},
		{},
	} {
		ask(t, https, "GET", "https://"+domain, server.KeyPath, header)
	}
	ask(t, https, "HEAD", "https://"+domain, server.KeyPath, nil) // fetches nothing
	ask(t, https, "PUT", "https://"+domain, server.KeyPath, nil)
	ask(t, https, "GET", "https://"+domain, "/", nil)
	ask(t, http1, "GET", "http://"+domain, "/", nil)

	got := series(t, registryOf(config))
	for name, want := range map[string]float64{
		"wellkey_http_requests_total{code=200,listener=https,method=GET,route=key}":      5,
		"wellkey_http_requests_total{code=304,listener=https,method=GET,route=key}":      1,
		"wellkey_http_requests_total{code=200,listener=https,method=HEAD,route=key}":     1,
		"wellkey_http_requests_total{code=405,listener=https,method=other,route=key}":    1,
		"wellkey_http_requests_total{code=404,listener=https,method=GET,route=other}":    1,
		"wellkey_http_requests_total{code=308,listener=http,method=GET,route=redirect}":  1,
		"wellkey_http_requests_total{code=308,listener=http,method=HEAD,route=redirect}": 0,
		"wellkey_key_fetches_total{client=tesla_app}":                                    2,
		"wellkey_key_fetches_total{client=wellkey}":                                      1,
		"wellkey_key_fetches_total{client=other}":                                        3,
		"wellkey_listener_bound{listener=http}":                                          1,
		"wellkey_http_request_duration_seconds{listener=https,route=key}":                8,
		"wellkey_http_request_duration_seconds{listener=https,route=other}":              1,
		"wellkey_http_request_duration_seconds{listener=http,route=redirect}":            1,
		"wellkey_listener_bound{listener=https}":                                         1,
		"wellkey_panics_total{part=server}":                                              0,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s: got %v (there: %v), want %v", name, value, ok, want)
		}
	}
	for _, fetch := range s.KeyFetches() {
		if fetch.Last.Before(before) || fetch.Last.After(time.Now()) {
			t.Errorf("%+v: last fetch is not within the test", fetch)
		}
		stamp := got["wellkey_key_last_fetch_timestamp_seconds{client="+fetch.Client+"}"]
		if delta := stamp - float64(fetch.Last.UnixMicro())/1e6; delta < -0.001 || delta > 0.001 {
			t.Errorf("%s: the gauge says %v, KeyFetches %v", fetch.Client, stamp, fetch.Last)
		}
	}
}

func TestKeyFetchesAtFirst(t *testing.T) {
	config, _ := configure(t)
	config.Key = func(string) keystore.Key { return keystore.Key{} }
	s := newServer(t, config)
	s.HTTPSHandler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", server.KeyPath, nil)) // a 503
	want := []server.Fetch{{Client: "tesla_app"}, {Client: "wellkey"}, {Client: "other"}}
	if got := s.KeyFetches(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Whatever strangers send, no series is added.
func TestHostileLabels(t *testing.T) {
	config, certs := configure(t)
	certs.challenges = map[string]string{"/.well-known/acme-challenge/token": "x"}
	s := newServer(t, config)
	before := series(t, registryOf(config))
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string {
		if i := random.IntN(len(from) + 1); i < len(from) {
			return from[i]
		}
		junk := make([]byte, 1+random.IntN(30))
		for i := range junk {
			junk[i] = byte(random.IntN(256))
		}
		return string(junk)
	}
	for range 20_000 {
		r := &http.Request{
			Method: pick("GET", "HEAD", "POST", "get", "OPTIONS"),
			URL:    &url.URL{Path: pick(server.KeyPath, "/", "/.well-known/acme-challenge/token", "/.well-known/acme-challenge/x"), RawQuery: pick("")},
			Host:   pick(domain, "evil.example"), ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"User-Agent": {pick("TeslaV4Watch/1")}, "If-None-Match": {pick("*")}, "Wellkey-Probe": {pick("x")}},
		}
		if random.IntN(10) == 0 {
			r.TransferEncoding = []string{"chunked"}
		}
		s.HTTPSHandler().ServeHTTP(httptest.NewRecorder(), r)
		s.HTTPHandler().ServeHTTP(httptest.NewRecorder(), r)
	}
	after := series(t, registryOf(config))
	var answered float64
	for name, value := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("new series %s", name)
		}
		if strings.HasPrefix(name, "wellkey_http_requests_total") {
			answered += value
		}
	}
	if answered != 40_000 {
		t.Errorf("counted %v answers, want 40000", answered)
	}
}

func TestHandshakeErrorsAreCounted(t *testing.T) {
	config, certs := configure(t)
	core, logs := observer.New(zap.InfoLevel)
	config.Logger = zap.New(core)
	s := start(t, config)
	reason := func(name string) float64 {
		return series(t, registryOf(config))["wellkey_tls_handshake_errors_total{reason="+name+"}"]
	}
	send := func(bytes string) {
		conn, err := net.Dial("tcp", s.HTTPSAddr())
		must(t, err)
		_, _ = io.WriteString(conn, bytes)
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
	for _, tc := range []struct {
		name, reason string
		do           func()
	}{
		{"gone", "eof", func() { send("") }},
		{"cut", "eof", func() { send("\x16\x03\x01\x02\x00\x01") }},
		{"plain HTTP", "not_tls", func() { send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }},
		{"garbage", "not_tls", func() { send(strings.Repeat("\x00\xff\x1b[2J", 50)) }},
		{"old version", "unsupported", func() {
			tryTLS(s, certs, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
		}},
		{"old suite", "unsupported", func() {
			tryTLS(s, certs, func(c *tls.Config) {
				c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
			})
		}},
		{"old curve", "unsupported", func() { tryTLS(s, certs, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }) }},
		{"unknown protocol", "unsupported", func() { tryTLS(s, certs, func(c *tls.Config) { c.NextProtos = []string{"h9"} }) }},
		{"protocol like an alert", "unsupported", func() { tryTLS(s, certs, func(c *tls.Config) { c.NextProtos = []string{"remote error: tls: "} }) }},
		{"protocol like no certificate", "unsupported", func() { tryTLS(s, certs, func(c *tls.Config) { c.NextProtos = []string{"no certificate"} }) }},
		{"unknown name", "no_certificate", func() { tryTLS(s, certs, func(c *tls.Config) { c.ServerName = "evil.example" }) }},
		{"distrust", "client_alert", func() { tryTLS(s, certs, func(c *tls.Config) { c.RootCAs = nil }) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := reason(tc.reason)
			tc.do()
			await(t, tc.reason, func() bool { return reason(tc.reason) == before+1 })
		})
	}
	if n := reason("other"); n != 0 {
		t.Errorf("%v failures were not understood", n)
	}
	for _, line := range logs.All() {
		if line.Message != "listening" {
			t.Errorf("noise in the log: %v", line)
		}
	}
}

// Failed handshakes are counted by what they are, whatever their texts say; what we
// ended ourselves is none.
func TestHandshakeReasons(t *testing.T) {
	config, _ := configure(t)
	s := newServer(t, config)
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	refused := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNREFUSED)}
	for reason, errs := range map[string][]error{
		"eof": {
			io.EOF, io.ErrUnexpectedEOF, &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)},
			fmt.Errorf("remote error: tls: %w", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}),
		},
		"timeout":        {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}},
		"not_tls":        {server.ErrPlainHTTP, tls.RecordHeaderError{Msg: "unsupported SSLv2 handshake received"}},
		"unsupported":    {errors.New(`tls: client requested unsupported application protocols (["no certificate" "EOF" "remote error: tls: "])`)},
		"no_certificate": {errors.New(`no certificate for "tls: client offered only unsupported versions"`), errors.New("there is no certificate yet")},
		"client_alert":   {&net.OpError{Op: "remote error", Err: tls.AlertError(42)}},
		"busy":           {server.ErrBusy, fmt.Errorf("within: %w", server.ErrMultiplexed)},
		"too_long":       {server.ErrLongHello},
		"other":          {errors.New("remote error: tls: "), errors.New("i/o timeout"), errors.New("x EOF"), refused},
		"":               {net.ErrClosed, &net.OpError{Op: "read", Err: net.ErrClosed}, context.Canceled},
	} {
		for _, err := range errs {
			before := series(t, registryOf(config))
			s.ComplainOf(far, err)
			for name, now := range series(t, registryOf(config)) {
				was := before[name]
				if strings.HasPrefix(name, "wellkey_tls_handshake_errors_total") && (now != was) != (name == "wellkey_tls_handshake_errors_total{reason="+reason+"}") {
					t.Errorf("%q, which is %q: %s went from %v to %v", err, reason, name, was, now)
				}
			}
		}
	}
}

// Complaints, ours and those of net/http, are quoted, cut, and rare.
func TestComplaints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config, _ := configure(t)
		core, logs := observer.New(zap.DebugLevel)
		config.Logger = zap.New(core)
		s := newServer(t, config)
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		nasty := "\x1b[2J\n" + strings.Repeat("é", 500)
		complain := func() {
			s.ComplainOf(far, errors.New(nasty))
			s.Complain("http: " + nasty)
			s.Complain("http: Accept error: accept tcp: too many open files; retrying in 5ms")
			s.Complain("http: read: use of closed network connection")
		}
		for range 1000 {
			complain()
		}
		if n, warnings := logs.Len(), logs.FilterLevelExact(zap.WarnLevel).Len(); n != 3 || warnings != 1 { // the one about accepting
			t.Errorf("got %d lines and %d warnings, want 3 and 1", n, warnings)
		}
		time.Sleep(time.Second) // of the bubble: nobody waits
		complain()
		if n := logs.Len(); n != 5 {
			t.Errorf("a second later: got %d lines, want 5", n)
		}
		for _, key := range []string{"error", "line"} {
			found := logs.FilterFieldKey(key).All()
			if len(found) == 0 {
				t.Fatalf("no line has the field %s", key)
			}
			text := found[0].ContextMap()[key].(string)
			if key == "line" {
				text = strings.Replace(text, "http: ", "", 1)
			}
			if strings.ContainsAny(text, "\x1b\n") || len(text) > 250 || !strings.HasPrefix(text, `"\x1b[2J\n`) || !strings.HasSuffix(text, `é"...`) {
				t.Errorf("logged %s", text)
			}
		}
		if n := series(t, registryOf(config))["wellkey_tls_handshake_errors_total{reason=other}"]; n != 1001 {
			t.Errorf("got %v of other, want 1001", n)
		}
	})
}

// A panic costs one request, and its words are kept out of the log.
func TestPanics(t *testing.T) {
	for name, tc := range map[string]struct {
		fault any
		want  string
	}{
		"words": {"Cookie: Canary7f3a", "string"},
		"error": {fmt.Errorf("Canary7f3a"), "*errors.errorString"},
		"bug":   {nil, `"runtime error: index out of range [3] with length 0"`},
	} {
		t.Run(name, func(t *testing.T) {
			config, certs := configure(t)
			core, logs := observer.New(zap.DebugLevel)
			config.Logger = zap.New(core)
			key := config.Key
			config.Key = func(host string) keystore.Key {
				if host != "panic.example" {
					return key(host)
				}
				if tc.fault == nil {
					var none []keystore.Key
					return none[len(host)-10]
				}
				panic(tc.fault)
			}
			s := start(t, config)
			c := client(t, s.HTTPSAddr(), certs, true)
			request, err := http.NewRequest("GET", "https://"+domain+server.KeyPath, nil)
			must(t, err)
			request.Host = "panic.example"
			response, err := c.Do(request)
			must(t, err)
			_ = response.Body.Close()
			if response.StatusCode != 500 {
				t.Errorf("got %s, want 500", response.Status)
			}
			if got := ask(t, c, "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
				t.Errorf("afterwards: got %+v, want the key", got)
			}
			lines := logs.FilterMessageSnippet("panicked").All()
			if len(lines) != 1 || lines[0].ContextMap()["panic"] != tc.want {
				t.Errorf("got %v, want one line with %s", lines, tc.want)
			}
			for _, line := range logs.All() {
				if strings.Contains(fmt.Sprint(line.ContextMap()), "Canary7f3a") {
					t.Errorf("the log has the words of the panic: %v", line)
				}
			}
			got := series(t, registryOf(config))
			for name, want := range map[string]float64{
				"wellkey_panics_total{part=server}":                                         1,
				"wellkey_http_requests_total{code=500,listener=https,method=GET,route=key}": 1,
			} {
				if got[name] != want {
					t.Errorf("%s: got %v, want %v", name, got[name], want)
				}
			}
		})
	}
}

// Requests are logged at debug level only, quoted.
func TestAccessLog(t *testing.T) {
	for level, want := range map[zap.AtomicLevel]int{zap.NewAtomicLevelAt(zap.DebugLevel): 1, zap.NewAtomicLevelAt(zap.InfoLevel): 0} {
		config, _ := configure(t)
		core, logs := observer.New(level)
		config.Logger = zap.New(core)
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = "/\x1b" + strings.Repeat("a", 5000)
		newServer(t, config).HTTPSHandler().ServeHTTP(httptest.NewRecorder(), r)
		lines := logs.FilterMessage("request").All()
		if len(lines) != want {
			t.Fatalf("%s: got %d lines, want %d", level, len(lines), want)
		}
		if want == 1 {
			if path := lines[0].ContextMap()["path"].(string); len(path) > 210 || !strings.HasPrefix(path, `"/%1Baaa`) {
				t.Errorf("logged path %s", path)
			}
		}
	}
}
