package server_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/testhost"
	"wellkey/server"
	"wellkey/server/passthrough"
	"wellkey/server/trouble"
)

const telemetry = "telemetry.example.com"

// A fleet is a server that wants a certificate of its clients, as fleet-telemetry
// does, and answers each line with the name of the client and the line.
type fleet struct {
	addr   string
	client *tls.Config // of a client that it takes
	heads  chan *proxyproto.Header
}

// newFleet starts a fleet; with heads it wants a PROXY header first.
func newFleet(t testing.TB, heads bool) *fleet {
	t.Helper()
	issue := func(name string, ca *tls.Certificate) *tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
			IsCA: ca == nil, BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		parent, signer := template, key
		if ca != nil {
			parent, signer = ca.Leaf, ca.PrivateKey.(*ecdsa.PrivateKey)
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		must(t, err)
		leaf, err := x509.ParseCertificate(der)
		must(t, err)
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	}
	ca := issue("ca.example", nil)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	f := &fleet{heads: make(chan *proxyproto.Header, 1)}
	f.client = &tls.Config{ServerName: telemetry, RootCAs: roots, Certificates: []tls.Certificate{*issue("car.example", ca)}}
	config := &tls.Config{Certificates: []tls.Certificate{*issue(telemetry, ca)}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f.addr = l.Addr().String()
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer func() { _ = conn.Close() }()
				if heads {
					known := proxyproto.NewConn(conn)
					f.heads <- known.ProxyHeader()
					conn = known
				}
				car := tls.Server(conn, config)
				if car.Handshake() != nil {
					return
				}
				_, _ = io.WriteString(car, car.ConnectionState().PeerCertificates[0].DNSNames[0]+" ")
				_, _ = io.Copy(car, car)
				_ = car.CloseWrite()
			})
		}
	})
	return f
}

// greet says something to whom conn leads, and returns the answer to its end.
func greet(conn *tls.Conn) (string, error) {
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return "", err
	}
	if err := conn.CloseWrite(); err != nil {
		return "", err
	}
	text, err := io.ReadAll(conn)
	return string(text), err
}

func withPassthrough(config *server.Config, routes ...string) {
	for _, r := range routes {
		name, target, _ := strings.Cut(r, "=")
		config.Passthrough = append(config.Passthrough, passthrough.Route{Name: name, Target: target})
	}
}

// The key and a server with mutual TLS share a port.
func TestPassthrough(t *testing.T) {
	f := newFleet(t, false)
	config, certs := configure(t)
	withPassthrough(&config, telemetry+"="+f.addr)
	s := start(t, config)
	conn, err := tls.Dial("tcp", s.HTTPSAddr(), f.client)
	must(t, err)
	if got, err := greet(conn); got != "car.example hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	bare := f.client.Clone()
	bare.Certificates = nil
	if conn, err := tls.Dial("tcp", s.HTTPSAddr(), bare); err == nil {
		if got, err := greet(conn); err == nil {
			t.Errorf("a client without a certificate got %q", got)
		}
	}
	for _, http2 := range []bool{false, true} {
		if got := ask(t, client(t, s.HTTPSAddr(), certs, http2), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
			t.Errorf("the key: got %+v", got)
		}
	}
	await(t, "the end of the connections", func() bool {
		return series(t, registryOf(config))["wellkey_passthrough_open_connections{name="+telemetry+"}"] == 0
	})
	got := series(t, registryOf(config))
	if got["wellkey_passthrough_connections_total{name="+telemetry+"}"] != 2 || got["wellkey_passthrough_bytes_total{direction=in,name="+telemetry+"}"] < 1000 ||
		got["wellkey_passthrough_bytes_total{direction=out,name="+telemetry+"}"] < 500 {
		t.Errorf("counted %v", got)
	}
	if status := s.Passthrough()[0]; status != (passthrough.Status{Name: telemetry, Target: f.addr, Total: 2}) {
		t.Errorf("status %+v", status)
	}
}

// Connections of both kinds side by side all get where they are for.
func TestPassthroughMixed(t *testing.T) {
	const each = 1000
	f := newFleet(t, false)
	config, certs := configure(t)
	withPassthrough(&config, telemetry+"="+f.addr)
	s := newServer(t, config)
	s.SetIdle(time.Hour) // a busy machine takes its time
	run(t, s)
	f.client.ClientSessionCache = tls.NewLRUClientSessionCache(1) // cheaper handshakes
	ours := &tls.Config{RootCAs: certs.roots, ServerName: domain, NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	key := string(config.Key("").PEM())
	request := "GET " + server.KeyPath + " HTTP/1.1\r\nHost: " + domain + "\r\n\r\n"

	var opened, done sync.WaitGroup
	release := make(chan struct{})
	faults := make(chan error, 2*each)
	places := make(chan struct{}, 16) // handshakes at a time
	run := func(config *tls.Config, begin, talk func(*tls.Conn) error) {
		opened.Add(1)
		done.Go(func() {
			places <- struct{}{}
			conn, err := tls.Dial("tcp", s.HTTPSAddr(), config)
			if err == nil {
				err = begin(conn)
			}
			<-places
			opened.Done()
			if err != nil {
				faults <- err
				return
			}
			defer func() { _ = conn.Close() }()
			<-release // when all are open
			if err := talk(conn); err != nil {
				faults <- err
			}
		})
	}
	fetch := func(conn *tls.Conn) error {
		if _, err := io.WriteString(conn, request); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		if got, err := io.ReadAll(response.Body); string(got) != key || err != nil {
			return fmt.Errorf("the key: got %q, %v", got, err)
		}
		return nil
	}
	for range each {
		run(f.client, (*tls.Conn).Handshake, func(conn *tls.Conn) error {
			if got, err := greet(conn); got != "car.example hello" || err != nil {
				return fmt.Errorf("telemetry: got %q, %v", got, err)
			}
			return nil
		})
		run(ours, fetch, fetch)
	}
	opened.Wait()
	open := series(t, registryOf(config))
	if open["wellkey_passthrough_open_connections{name="+telemetry+"}"] != each || open["wellkey_connections{listener=https}"] != each {
		t.Errorf("%v are passed on and %v are ours, want %d of each", open["wellkey_passthrough_open_connections{name="+telemetry+"}"], open["wellkey_connections{listener=https}"], each)
	}
	close(release)
	done.Wait()
	close(faults)
	n := 0
	for err := range faults {
		if n++; n < 5 {
			t.Error(err)
		}
	}
	if n > 0 {
		t.Errorf("%d of %d connections failed", n, 2*each)
	}
}

// dribble sends single bytes, one a packet.
type dribble struct{ net.Conn }

func (d dribble) Write(b []byte) (int, error) {
	for i := range b {
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// A ClientHello in single bytes gets where it is for.
func TestPassthroughSingleBytes(t *testing.T) {
	f := newFleet(t, false)
	config, certs := configure(t)
	withPassthrough(&config, telemetry+"="+f.addr)
	s := start(t, config)
	dial := func(c *tls.Config) (string, error) {
		conn, err := net.Dial("tcp", s.HTTPSAddr())
		must(t, err)
		must(t, conn.(*net.TCPConn).SetNoDelay(true))
		return greet(tls.Client(dribble{conn}, c))
	}
	if got, err := dial(f.client); got != "car.example hello" || err != nil {
		t.Errorf("telemetry: got %q, %v", got, err)
	}
	if got, _ := dial(&tls.Config{RootCAs: certs.roots, ServerName: domain}); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("ours: got %q", got)
	}
}

// What goes where.
func TestPassthroughNames(t *testing.T) {
	targets := map[string]string{}
	for _, name := range []string{"exact", "stars", "other"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer func() { _ = l.Close() }()
		targets[name] = l.Addr().String()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, name) // no TLS: the client complains, quoting it
				_ = conn.Close()
			}
		}()
	}
	config, certs := configure(t)
	withPassthrough(&config, "*="+targets["other"], "*.example.com="+targets["stars"], telemetry+"="+targets["exact"])
	s := start(t, config)
	for name, want := range map[string]string{
		telemetry: "exact", "TELEMETRY.Example.COM": "exact", "a.example.com": "stars", "a.b.example.com": "other", "example.com": "other", "b.example": "other",
		domain: "", "": "",
	} {
		_, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = name, true })
		var record tls.RecordHeaderError
		got := ""
		if errors.As(err, &record) {
			got = string(record.RecordHeader[:])
		}
		if got != want {
			t.Errorf("%q goes to %q (%v), want %q", name, got, err, want)
		}
	}
	state, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) { c.NextProtos = []string{"acme-tls/1"} })
	if err != nil || state.NegotiatedProtocol != "acme-tls/1" {
		t.Errorf("a challenge for the domain: %q, %v", state.NegotiatedProtocol, err)
	}
}

// A dead target costs its own connections and nothing else.
func TestPassthroughDead(t *testing.T) {
	dead, err := testhost.Addr()
	must(t, err)
	config, certs := configure(t)
	core, logs := observer.New(zap.InfoLevel)
	config.Logger = zap.New(core)
	withPassthrough(&config, telemetry+"="+dead)
	s := start(t, config)
	for range 3 {
		if _, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) { c.ServerName = telemetry }); err == nil {
			t.Error("somebody answered")
		}
	}
	if got := ask(t, client(t, s.HTTPSAddr(), certs, true), "GET", "https://"+domain, server.KeyPath, nil); got.Status != 200 {
		t.Errorf("the key: got %+v", got)
	}
	if n := series(t, registryOf(config))["wellkey_passthrough_failures_total{name="+telemetry+",reason=refused}"]; n != 3 {
		t.Errorf("counted %v", n)
	}
	lines := logs.FilterMessage("a server behind passthrough cannot be reached, so connections for its name are closed").All()
	if len(lines) != 1 || !strings.HasPrefix(lines[0].ContextMap()["cause"].(string), "nothing listens there") || lines[0].ContextMap()["target"] != dead {
		t.Errorf("logged %v", lines)
	}
	known := s.Passthrough()[0].Trouble
	if !strings.HasPrefix(known.Cause, "nothing listens there") || !strings.HasPrefix(known.Fix, "Start it") || !strings.Contains(known.Error, "connection refused") ||
		known.Since.IsZero() || !known.Last.After(known.Since) { // there were three
		t.Errorf("trouble %+v", known)
	}
	if found, ok := passthrough.Look(t.Context(), dead); ok || found.Cause != known.Cause || found.Fix != known.Fix {
		t.Errorf("a look finds %+v, %v", found, ok)
	}
	l, err := net.Listen("tcp", dead)
	must(t, err)
	defer func() { _ = l.Close() }()
	go func() {
		if conn, err := l.Accept(); err == nil {
			_ = conn.Close()
		}
	}()
	_, _ = dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) { c.ServerName = telemetry })
	await(t, "the recovery", func() bool {
		return logs.FilterMessage("a server behind passthrough can be reached again").Len() == 1 && s.Passthrough()[0].Trouble == trouble.Trouble{}
	})
}

// Who sends no ClientHello is answered as without passthrough; who sends nothing,
// or not all of it, is cut at the deadline.
func TestPassthroughGarbage(t *testing.T) {
	config, _ := configure(t)
	withPassthrough(&config, telemetry+"=127.0.0.1:1")
	s := newServer(t, config)
	s.SetPatience(2 * time.Second)
	run(t, s)
	for _, tc := range []struct{ name, sent, want, reason string }{
		{"HTTP", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS: write https:// in front of the address.\n", "not_tls"},
		{"garbage", strings.Repeat("\x00\xff\x1b[2J", 50), "", "not_tls"},
		{"nothing", "", "", "timeout"},
		{"a beginning", "\x16\x03\x01\x02\x00\x01", "", "timeout"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := series(t, registryOf(config))["wellkey_tls_handshake_errors_total{reason="+tc.reason+"}"]
			conn, err := net.Dial("tcp", s.HTTPSAddr())
			must(t, err)
			defer func() { _ = conn.Close() }()
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err = io.WriteString(conn, tc.sent)
			must(t, err)
			got, err := io.ReadAll(conn)
			if err != nil && !strings.Contains(err.Error(), "reset") || !strings.HasPrefix(string(got), tc.want[:min(len(tc.want), 5)]) || tc.want == "" && len(got) > 0 {
				t.Errorf("got %q, %v", got, err)
			}
			await(t, tc.reason, func() bool {
				return series(t, registryOf(config))["wellkey_tls_handshake_errors_total{reason="+tc.reason+"}"] == before+1
			})
		})
	}
	if n := series(t, registryOf(config))["wellkey_connections{listener=https}"]; n != 0 {
		t.Errorf("%v connections are still counted", n)
	}
}

// The target learns who the client is.
func TestPassthroughProxyHeader(t *testing.T) {
	f := newFleet(t, true)
	config, _ := configure(t)
	withPassthrough(&config, telemetry+"="+f.addr)
	config.PassthroughProxyProtocol = true
	s := start(t, config)
	conn, err := tls.Dial("tcp", s.HTTPSAddr(), f.client)
	must(t, err)
	from := conn.LocalAddr().String()
	if got, err := greet(conn); got != "car.example hello" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if head := <-f.heads; head == nil || head.Version != 2 || head.SourceAddr.String() != from || head.DestinationAddr.String() != s.HTTPSAddr() {
		t.Errorf("got %+v, want from %s", head, from)
	}
}

// One end may finish before the other, and both ends of the server's life are
// clean: what is passed on is cut.
func TestPassthroughEnds(t *testing.T) {
	f := newFleet(t, false)
	config, _ := configure(t)
	withPassthrough(&config, telemetry+"="+f.addr)
	config.DrainTimeout = time.Hour
	s := newServer(t, config)
	stop := run(t, s)
	conn, err := tls.Dial("tcp", s.HTTPSAddr(), f.client)
	must(t, err)
	defer func() { _ = conn.Close() }()
	hello := make([]byte, len("car.example "))
	_, err = io.ReadFull(conn, hello)
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	select {
	case err := <-ended:
		must(t, err)
	case <-time.After(patience):
		t.Fatal("the stop waits for what is passed on")
	}
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	if _, err := conn.Read(hello); err == nil {
		t.Error("the connection outlived the server")
	}
}
