package webconfig_test

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/guideline"
	"wellkey/internal/testca"
	"wellkey/internal/webconfig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tlsPart   = "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"
	usersPart = "basic_auth_users:\n  prometheus: HASH\n"
)

// TestPasswords: who may pass where there are users, from afar and from here.
func TestPasswords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.follow(usersPart)
	sanctioned(t, w.dir+"/web.yml")
	far, near := w.serve(f, true), w.serve(f, false)
	for _, row := range []struct {
		name    string
		addr    string
		visitor visitor
		path    string
		want    int
	}{
		{"the right password", far, visitor{user: "prometheus", password: password}, "/metrics", 200},
		{"the right password, which is known by now", far, visitor{user: "prometheus", password: password}, "/status", 200},
		{"a wrong password", far, visitor{user: "prometheus", password: password + "x"}, "/metrics", 401},
		{"no password", far, visitor{}, "/metrics", 401},
		{"an empty password", far, visitor{user: "prometheus"}, "/metrics", 401},
		{"another user", far, visitor{user: "grafana", password: password}, "/metrics", 401},
		{"health from afar", far, visitor{}, "/healthz", 401},
		{"health from here", near, visitor{}, "/healthz", 200},
		{"metrics from here", near, visitor{}, "/metrics", 401},
		{"what only begins like health", near, visitor{}, "/healthz/../metrics", 401},
		{"metrics from here with the password", near, visitor{user: "prometheus", password: password}, "/metrics", 200},
	} {
		if got, err := row.visitor.get(t.Context(), row.addr, row.path); err != nil || got != row.want {
			t.Errorf("%s: got %d, %v, want %d", row.name, got, err, row.want)
		}
	}
}

// TestClientCertificates: who may pass where certificates of clients are wanted.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	w, strange := newWorld(t), newWorld(t)
	good, other, foreign := w.client("prometheus.example"), w.client("other.example"), strange.client("prometheus.example")
	const verify = tlsPart + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
	for name, rows := range map[string]struct {
		web  string
		want map[*testca.Leaf][2]int // the status from afar and from here; 0 is a refused handshake
	}{
		"verified":  {verify, map[*testca.Leaf][2]int{nil: {0, 403}, good: {200, 200}, other: {200, 200}, foreign: {0, 0}}},
		"by name":   {verify + "  client_allowed_sans: [prometheus.example]\n", map[*testca.Leaf][2]int{nil: {0, 403}, good: {200, 200}, other: {0, 0}, foreign: {0, 0}}},
		"any":       {tlsPart + "  client_auth_type: RequireAnyClientCert\n", map[*testca.Leaf][2]int{nil: {0, 403}, foreign: {200, 200}}},
		"if given":  {tlsPart + "  client_ca_file: ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n", map[*testca.Leaf][2]int{nil: {200, 200}, good: {200, 200}, foreign: {0, 0}}},
		"and users": {verify + usersPart, map[*testca.Leaf][2]int{nil: {0, 403}, good: {401, 401}}},
	} {
		f := w.follow(rows.web)
		if name != "by name" { // which the promtool of Debian 12 does not know yet
			sanctioned(t, w.dir+"/web.yml")
		}
		addrs := [2]string{w.serve(f, true), w.serve(f, false)}
		for leaf, want := range rows.want {
			for i, addr := range addrs {
				got, err := visitor{cert: leaf, roots: w.signer.Roots()}.get(t.Context(), addr, "/metrics")
				if got != want[i] || (err == nil) != (want[i] != 0) {
					t.Errorf("%s, certificate %v, near %v: got %d, %v, want %d", name, leaf != nil, i == 1, got, err, want[i])
				}
			}
		}
		if got, err := (visitor{roots: w.signer.Roots()}).get(t.Context(), addrs[1], "/healthz"); got != 200 {
			t.Errorf("%s, health from here: got %d, %v", name, got, err)
		}
	}
}

// TestDocumentedFile: the example of docs/admin.md is good, here and for promtool.
func TestDocumentedFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, example, _ := strings.Cut(read(t, "../../docs/admin.md"), "```yaml\n# web.yml\n")
	example, _, found := strings.Cut(example, "```")
	if !found {
		t.Fatal("docs/admin.md has no example")
	}
	path := w.write("web.yml", example)
	sanctioned(t, path)
	if err := webconfig.Check(path); err != nil {
		t.Error(err)
	}
	for _, part := range []string{"cert_file: cert.pem", "basic_auth_users:", "$2y$10$"} {
		if !strings.Contains(example, part) {
			t.Errorf("the example has no %s", part)
		}
	}
}

// TestVersions: the versions and protocols are those of the file.
func TestVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, row := range []struct {
		web         string
		version     uint16
		protocol    string
		client      *tls.Config
		wantFailure bool
	}{
		{web: tlsPart, version: tls.VersionTLS13, protocol: "h2", client: &tls.Config{}},
		{web: tlsPart + "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n  prefer_server_cipher_suites: true\n", version: tls.VersionTLS12, protocol: "h2", client: &tls.Config{}},
		{web: tlsPart + "http_server_config:\n  http2: false\n", version: tls.VersionTLS13, protocol: "http/1.1", client: &tls.Config{}},
		{web: tlsPart + "  min_version: TLS13\n  curve_preferences: [X25519]\n", client: &tls.Config{MaxVersion: tls.VersionTLS12}, wantFailure: true},
		{web: tlsPart + "  curve_preferences: [CurveP256]\n", client: &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, wantFailure: true},
	} {
		addr := w.serve(w.follow(row.web), true)
		sanctioned(t, w.dir+"/web.yml")
		row.client.RootCAs, row.client.ServerName, row.client.NextProtos = w.signer.Roots(), "wellkey.monitoring.example", []string{"h2", "http/1.1"}
		conn, err := tls.Dial("tcp", addr, row.client)
		if row.wantFailure {
			if err == nil {
				t.Errorf("%s: got a connection", row.web)
				_ = conn.Close() // it is a failure already
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.web, err)
			continue
		}
		if s := conn.ConnectionState(); s.Version != row.version || s.NegotiatedProtocol != row.protocol {
			t.Errorf("%s: got version %x, protocol %s", row.web, s.Version, s.NegotiatedProtocol)
		}
		_ = conn.Close() // nothing was written
	}
}

// TestGuideline: where the file says nothing of it, versions, suites and curves are
// those of the guideline, as on the listener for the key. Each is tried alone.
func TestGuideline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := w.serve(w.follow(tlsPart), true)
	takes := func(client *tls.Config) bool {
		client.RootCAs, client.ServerName = w.signer.Roots(), "wellkey.monitoring.example"
		conn, err := tls.Dial("tcp", addr, client)
		if err != nil {
			return false
		}
		_ = conn.Close() // nothing was written
		return true
	}
	var want tls.Config
	guideline.Apply(&want)
	for version := uint16(tls.VersionTLS10); version <= tls.VersionTLS13; version++ {
		if got := takes(&tls.Config{MinVersion: version, MaxVersion: version}); got != (version >= want.MinVersion && version <= want.MaxVersion) {
			t.Errorf("%s: accepted is %v", tls.VersionName(version), got)
		}
	}
	for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		if slices.Contains(suite.SupportedVersions, tls.VersionTLS13) {
			continue
		}
		fits := slices.Contains(want.CipherSuites, suite.ID) && strings.Contains(suite.Name, "_ECDSA_") // as the certificate does
		if got := takes(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}}); got != fits {
			t.Errorf("%s: accepted is %v", suite.Name, got)
		}
	}
	for _, curve := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
		if got := takes(&tls.Config{CurvePreferences: []tls.CurveID{curve}}); got != slices.Contains(want.CurvePreferences, curve) {
			t.Errorf("%s: accepted is %v", curve, got)
		}
	}
}

// TestHeaders: the fields of the file are in every answer, refusals included.
func TestHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	addr := w.serve(w.follow(usersPart+"http_server_config:\n  headers:\n    X-Frame-Options: deny\n    Strict-Transport-Security: max-age=63072000\n"), true)
	sanctioned(t, w.dir+"/web.yml")
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // nothing is read of it
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != 401 || resp.Header.Get("X-Frame-Options") != "deny" || resp.Header.Get("Strict-Transport-Security") != "max-age=63072000" ||
		!strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("got %d, %v", resp.StatusCode, resp.Header)
	}
}

// TestFollow: a good change is taken over, a bad one is told once and leaves the
// last good state in use.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	core, logs := observer.New(zap.DebugLevel)
	f, err := webconfig.New(w.web(tlsPart+usersPart), zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	addr := w.serve(f, true)
	visit := visitor{user: "prometheus", password: password, roots: w.signer.Roots()}
	want := func(step string, status int, good bool) {
		t.Helper()
		got, err := visit.get(t.Context(), addr, "/metrics")
		if now, _ := f.State(); got != status || now != good {
			t.Errorf("%s: got %d, %v, good %v, want %d, good %v", step, got, err, now, status, good)
		}
	}
	look := func() { f.Look() }
	want("at first", 200, true)
	_, first := f.State()

	w.web(tlsPart + "basic_auth_users:\n  prometheus: not-a-hash\n")
	look()
	look()
	want("a bad hash", 200, false)
	if n := logs.FilterMessage("changed web configuration is not usable; the last good one stays in use").Len(); n != 1 {
		t.Errorf("it was told %d times", n)
	}
	if _, at := f.State(); !at.Equal(first) {
		t.Error("a bad change moves the time of the last good one")
	}

	w.web(usersPart) // without TLS: that wants a restart
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), "restart wellkey") {
		t.Errorf("TLS that goes: %v", err)
	}
	want("TLS that goes", 200, false)
	w.web(tlsPart + usersPart + "http_server_config: {http2: false}\n")
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), "restart wellkey") {
		t.Errorf("HTTP/2 that goes: %v", err)
	}

	w.web(tlsPart + strings.ReplaceAll(usersPart, "HASH", hash(t, "another")))
	look()
	want("another password", 401, true)
	visit.password = "another"
	want("another password, known", 200, true)

	w.issue() // the file itself stays
	look()
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: w.signer.Roots(), ServerName: "wellkey.monitoring.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if leaf, _, _ := strings.Cut(read(t, w.dir+"/cert.pem"), "-----END"); !strings.HasPrefix(pemOf(conn.ConnectionState().PeerCertificates[0].Raw), leaf) {
		t.Error("the old certificate is served")
	}
	w.write("key.pem", "no key")
	look()
	want("half a certificate", 200, false)
}

// TestClient: a program on the same machine that can read the file may ask; it
// trusts the listener's own certificate only.
func TestClient(t *testing.T) {
	t.Parallel()
	for name, web := range map[string]string{
		"nothing":             "",
		"users":               usersPart,
		"TLS":                 tlsPart,
		"TLS and users":       tlsPart + usersPart,
		"client certificates": tlsPart + usersPart + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if name == "client certificates" {
				web = usersPart + tlsPart + "  client_ca_file: ca.pem\n  client_auth_type: RequireAndVerifyClientCert\n"
			}
			f := w.follow(web)
			near, far := w.serve(f, false), w.serve(f, true)
			client, err := webconfig.NewClient(w.dir + "/web.yml")
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/healthz", "/status"} {
				resp, err := client.Get(t.Context(), near, path, nil)
				if err != nil {
					t.Errorf("%s: %v", path, err)
					continue
				}
				_ = resp.Body.Close() // nothing is read of it
				if resp.StatusCode != 200 {
					t.Errorf("%s: got %d", path, resp.StatusCode)
				}
			}
			if resp, err := client.Get(t.Context(), far, "/status", nil); strings.Contains(web, "users") && err == nil {
				t.Errorf("the proof opens the listener from another machine: %d", resp.StatusCode)
				_ = resp.Body.Close() // it is a failure already
			} else if err == nil {
				_ = resp.Body.Close() // nothing is read of it
			}
		})
	}
	t.Run("another file", func(t *testing.T) {
		w, other := newWorld(t), newWorld(t)
		near := w.serve(w.follow(tlsPart+usersPart), false)
		client, err := webconfig.NewClient(other.web(tlsPart + usersPart))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Get(t.Context(), near, "/status", nil); err == nil || !strings.Contains(err.Error(), "another certificate than the cert_file") {
			t.Errorf("got %v, want that the certificate is another one", err)
		}
		near = w.serve(w.follow(usersPart), false)
		client, err = webconfig.NewClient(other.web(usersPart))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Get(t.Context(), near, "/status", nil); err == nil || !strings.Contains(err.Error(), "has an admin_web_config that this command does not know") {
			t.Errorf("got %v, want that the file is another one", err)
		}
	})
}

// Who has the right password, and no turn, is told that, and not that it is wrong: a
// browser would forget it, and an operator look for the right one.
func TestNotCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.follow(usersPart)
	handler := f.Handler(http.NotFoundHandler())
	synctest.Test(t, func(t *testing.T) {
		ask := func() *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil)
			r.SetBasicAuth("prometheus", password)
			answer := httptest.NewRecorder()
			handler.ServeHTTP(answer, r)
			return answer
		}
		release := f.HoldTurn()
		got := ask()
		if got.Code != 429 || got.Header().Get("Retry-After") != "5" || got.Header().Get("WWW-Authenticate") != "" ||
			!strings.Contains(got.Body.String(), "this password was not compared and may well be right") {
			t.Errorf("got %d, %v, %q", got.Code, got.Header(), got.Body)
		}
		release()
		if got := ask(); got.Code != 404 {
			t.Errorf("in its turn it got %d", got.Code)
		}
	})
}

// TestFlood: wrong passwords wait for each other, and a right one that is known
// does not wait at all.
func TestFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.follow(usersPart)
	addr := w.serve(f, true)
	right := visitor{user: "prometheus", password: password}
	if got, err := right.get(t.Context(), addr, "/"); got != 200 {
		t.Fatalf("got %d, %v", got, err)
	}
	release := f.HoldTurn() // as somebody whose hash takes for ever
	defer release()
	done := make(chan error, 1)
	go func() {
		got, err := right.get(t.Context(), addr, "/")
		if err == nil && got != 200 {
			err = fmt.Errorf("status %d", got)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Error("a known password waits for the unknown ones")
	}
}
