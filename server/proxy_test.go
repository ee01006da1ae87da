package server_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/keystore"
	"wellkey/server"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// head returns a PROXY header.
func head(t testing.TB, version byte, from, to string) string {
	t.Helper()
	resolve := func(text string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)) }
	text, err := proxyproto.HeaderProxyFromAddrs(version, resolve(from), resolve(to)).Format()
	must(t, err)
	return string(text)
}

// Connections of a trusted proxy are their clients', over TLS and plain, whatever
// stands behind.
func TestProxyHeader(t *testing.T) {
	const v2Local = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	for _, tc := range []struct {
		name, head, want string // want is the client; "" closes the connection
	}{
		{"v1", "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n", "192.0.2.1:4711"},
		{"v1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n", "[2001:db8::1]:4711"},
		{"v1, unknown", "PROXY UNKNOWN\r\n", "127.0.0.1:"},
		{"v2", head(t, 2, "192.0.2.1:4711", "198.51.100.1:443"), "192.0.2.1:4711"},
		{"v2, IPv6", head(t, 2, "[2001:db8::1]:4711", "[2001:db8::2]:443"), "[2001:db8::1]:4711"},
		{"v2, local", v2Local, "127.0.0.1:"},
		{"none", "", ""},
		{"v1, cut", "PROXY TCP4 192.0.2.1\r\n", ""},
		{"v1, no address", "PROXY TCP4 a b 1 2\r\n", ""},
		{"v2, datagrams", "\r\n\r\n\x00\r\nQUIT\n\x21\x12\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			config, certs := configure(t)
			core, logs := observer.New(zap.DebugLevel)
			config.Logger = zap.New(core)
			config.PlainHTTP, config.ProxyProtocol, config.TrustedProxies = true, true, loopback
			s := start(t, config)
			for _, listener := range []string{"http", "https"} {
				addr := map[string]string{"http": s.HTTPAddr(), "https": s.HTTPSAddr()}[listener]
				conn, err := net.Dial("tcp", addr)
				must(t, err)
				defer func() { _ = conn.Close() }()
				must(t, conn.SetDeadline(time.Now().Add(patience)))
				_, err = io.WriteString(conn, tc.head)
				must(t, err)
				if listener == "https" {
					conn = tls.Client(conn, &tls.Config{RootCAs: certs.roots, ServerName: domain})
				}
				_, err = io.WriteString(conn, "GET "+server.KeyPath+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				got, _ := io.ReadAll(conn)
				if tc.want == "" {
					if len(got) > 0 {
						t.Errorf("%s: got %q", listener, got)
					}
					await(t, "the count", func() bool {
						return series(t, registryOf(config))["wellkey_connections_rejected_total{listener="+listener+",reason=proxy_header}"] == 1
					})
					continue
				}
				must(t, err)
				if !strings.HasPrefix(string(got), "HTTP/1.1 200 OK\r\n") {
					t.Errorf("%s: got %q", listener, got)
				}
				lines := logs.FilterMessage("request").FilterField(zap.String("listener", listener)).All()
				if remote := lines[0].ContextMap()["remote"].(string); !strings.HasPrefix(remote, tc.want) {
					t.Errorf("%s: the client is %s, want %s", listener, remote, tc.want)
				}
			}
			warned := logs.FilterMessage("a trusted proxy sent no valid PROXY header, so its connection was closed; make it send one, or set proxy_protocol off").Len()
			if (warned > 0) != (tc.want == "") {
				t.Errorf("%d warnings", warned)
			}
		})
	}
}

// From others a PROXY header is never read.
func TestProxyHeaderOfStrangers(t *testing.T) {
	config, certs := configure(t)
	core, logs := observer.New(zap.DebugLevel)
	config.Logger = zap.New(core)
	config.PlainHTTP, config.ProxyProtocol = true, true
	config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	s := start(t, config)
	pretended := "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"
	got := raw(t, s.HTTPAddr(), pretended+"GET "+server.KeyPath+" HTTP/1.1\r\nHost: a\r\n\r\n")
	if got.Status != 400 {
		t.Errorf("plain: got %+v", got)
	}
	conn, err := net.Dial("tcp", s.HTTPSAddr())
	must(t, err)
	_, err = io.WriteString(conn, pretended)
	must(t, err)
	if err := tls.Client(conn, &tls.Config{RootCAs: certs.roots, ServerName: domain}).Handshake(); err == nil {
		t.Error("the handshake behind a pretended header went well")
	}
	_ = conn.Close()
	for _, http2 := range []bool{false, true} {
		header := http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"}}
		if got := ask(t, client(t, s.HTTPSAddr(), certs, http2), "GET", "https://"+domain, server.KeyPath, header); got.Status != 200 {
			t.Errorf("without a header: got %+v", got)
		}
	}
	for _, line := range logs.FilterMessage("request").All() {
		if fields := line.ContextMap(); fields["client"] != "127.0.0.1" || !strings.HasPrefix(fields["remote"].(string), "127.0.0.1:") {
			t.Errorf("a stranger passed for another: %v", fields)
		}
	}
}

// A header that does not come is not awaited for long.
func TestProxyHeaderDeadline(t *testing.T) {
	config, _ := configure(t)
	config.PlainHTTP, config.ProxyProtocol, config.TrustedProxies = true, true, loopback
	s := newServer(t, config)
	s.SetPatience(100 * time.Millisecond)
	run(t, s)
	for _, addr := range []string{s.HTTPAddr(), s.HTTPSAddr()} {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		if got, err := io.ReadAll(conn); len(got) > 0 || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		_ = conn.Close()
	}
}

// The limit of one client is that of the real one, whether its proxy sends a PROXY
// header or X-Forwarded-For.
func TestLimitOfOneClient(t *testing.T) {
	for _, kind := range []string{"PROXY header", "X-Forwarded-For"} {
		t.Run(kind, func(t *testing.T) {
			config, _ := configure(t)
			entered, released := make(chan struct{}, 10), make(chan struct{})
			key := config.Key("")
			config.Key = func(string) keystore.Key {
				entered <- struct{}{}
				<-released
				return key
			}
			config.PlainHTTP, config.ProxyProtocol, config.TrustedProxies = true, kind == "PROXY header", loopback
			s := newServer(t, config)
			s.LimitHTTPClient(2)
			run(t, s)
			ask := func(from string) net.Conn {
				conn, err := net.Dial("tcp", s.HTTPAddr())
				must(t, err)
				t.Cleanup(func() { _ = conn.Close() })
				must(t, conn.SetDeadline(time.Now().Add(patience)))
				before, field := "", ""
				if config.ProxyProtocol {
					before = head(t, 2, from+":4711", "198.51.100.1:443")
				} else {
					field = "X-Forwarded-For: 198.51.100.99, " + from + "\r\n"
				}
				_, err = io.WriteString(conn, before+"GET "+server.KeyPath+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"+field+"\r\n")
				must(t, err)
				return conn
			}
			conns := []net.Conn{ask("192.0.2.1"), ask("192.0.2.1"), ask("192.0.2.2")}
			for range conns {
				<-entered
			}
			over, _ := io.ReadAll(ask("192.0.2.1"))
			if config.ProxyProtocol && len(over) > 0 || !config.ProxyProtocol && !strings.HasPrefix(string(over), "HTTP/1.1 429 ") {
				t.Errorf("the third of one client got %q", over)
			}
			close(released)
			for _, conn := range conns {
				if got, err := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 200 ") {
					t.Errorf("got %q, %v", got, err)
				}
			}
			await(t, "a free place", func() bool {
				got, _ := io.ReadAll(ask("192.0.2.1"))
				return strings.HasPrefix(string(got), "HTTP/1.1 200 ")
			})
		})
	}
}
