package cli_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"wellkey/server"
)

// The certificate comes through port 443 alone while all other names on it are
// passed on and an application has every other path: what is for the domain stays
// ours, challenges included.
func TestAllShapesAtOnce(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-Proto")+" "+r.RequestURI)
	}))
	defer app.Close()
	telemetry := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "telemetry") }))
	telemetry.StartTLS()
	defer telemetry.Close()
	w.run("HTTP_ADDR=", "UPSTREAM="+app.URL, "PASSTHROUGH=*="+telemetry.Listener.Addr().String())
	w.awaitRegistered()
	if n := w.CA.Orders(); n != 1 {
		t.Errorf("%d orders", n)
	}
	for _, tc := range []struct{ name, path, want string }{
		{w.Domain, "/callback?code=1", "https /callback?code=1"},
		{"telemetry." + w.Domain, "/", "telemetry"},
		{"other.example.com", server.KeyPath, "telemetry"},
	} {
		if got := w.ask(tc.name, tc.path); got != tc.want {
			t.Errorf("%s%s: got %q, want %q", tc.name, tc.path, got, tc.want)
		}
	}
	app.Close()
	telemetry.Close()
	if got := w.fetch(); got.Status != 200 {
		t.Errorf("the key, with all others gone: got %d", got.Status)
	}
}

// Behind a proxy that ends TLS and one for TCP the application learns who asks.
func TestShapesBehindProxies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withFiles)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Forwarded-For")+" "+r.Header.Get("X-Forwarded-Proto"))
	}))
	defer app.Close()
	host, _, _ := net.SplitHostPort(w.HTTPAddr)
	settings := []string{"TLS=off", "TLS_CERT_FILE", "TLS_KEY_FILE", "HTTPS_ADDR", "UPSTREAM=" + app.URL, "TRUSTED_PROXIES=" + host + ",127.0.0.1", "PROXY_PROTOCOL=on"}
	r := w.run(settings...)
	w.awaitLine(r.Log, "listening", "listener", "http")
	conn, err := net.Dial("tcp", w.HTTPAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	// The balancer says that the proxy is at 127.0.0.1, and that says who the client is.
	_, err = io.WriteString(conn, "PROXY TCP4 127.0.0.1 198.51.100.1 4711 80\r\nGET / HTTP/1.0\r\nHost: "+w.Domain+"\r\nX-Forwarded-For: 198.51.100.9, 192.0.2.7\r\nX-Forwarded-Proto: https\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if want := "192.0.2.7, 127.0.0.1 https"; len(got) < len(want) || string(got[len(got)-len(want):]) != want {
		t.Errorf("got %q, want %q at its end", got, want)
	}
}

// ask gets a path from the HTTPS listener under a name, whoever has a certificate
// for it.
func (w *world) ask(name, path string) string {
	w.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", w.HTTPSAddr)
		},
	}}
	resp, err := client.Get("https://" + name + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(body)
}
