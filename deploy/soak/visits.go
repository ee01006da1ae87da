package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"wellkey/registrar/fleetapi"
)

// kinds returns all ways to visit: some sixty visits a second.
func (s *soak) kinds() []kind {
	full := s.client(func(t *http.Transport) { t.DisableKeepAlives = true })
	resumed := s.client(func(t *http.Transport) {
		t.DisableKeepAlives = true
		t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	})
	kept := s.client(func(*http.Transport) {})
	second := s.client(func(t *http.Transport) { t.ForceAttemptHTTP2 = true })
	return []kind{
		{"whole handshake, HTTP/1.1", 10, true, s.get(full, 1)},
		{"resumed handshake, HTTP/1.1", 10, true, s.get(resumed, 1)},
		{"kept connection, HTTP/1.1", 15, true, s.get(kept, 1)},
		{"kept connection, HTTP/2", 10, true, s.get(second, 2)},
		{"HEAD", 3, true, s.ask(kept, http.MethodHead, fleetapi.KeyPath, http.StatusOK)},
		{"another path", 3, true, s.ask(full, http.MethodGet, "/.git/config", http.StatusNotFound)},
		{"port 80", 3, true, s.redirected},
		{"metrics", 0.5, true, s.admin("/metrics")},
		{"status", 0.5, true, s.admin("/status")},
		{"name of nobody", 1, false, s.stranger},
		{"garbage", 1, false, s.garbage},
		{"plain HTTP to the TLS port", 1, false, s.plain},
		{"reset by the client", 3, false, s.reset},
	}
}

// client returns a client that trusts the CA alone and follows no redirect. What it
// keeps is closed now and then, as clients come and go; see renewed.
func (s *soak) client(change func(*http.Transport)) *http.Client {
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.w.HTTPSAddr)
		},
		TLSClientConfig: &tls.Config{RootCAs: s.w.Roots()},
		IdleConnTimeout: 10 * time.Second,
	}
	change(t)
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// do makes one request and reads the answer.
func do(ctx context.Context, client *http.Client, method, url string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return resp, body, err
}

// renewed is one in how many visits closes what a client has kept.
const renewed = 200

// get fetches the key and compares it.
func (s *soak) get(client *http.Client, major int) func(context.Context, *site) error {
	return func(ctx context.Context, of *site) error {
		if rand.IntN(renewed) == 0 {
			client.CloseIdleConnections()
		}
		resp, body, err := do(ctx, client, http.MethodGet, "https://"+of.domain+fleetapi.KeyPath)
		switch {
		case err != nil:
			return err
		case resp.StatusCode != http.StatusOK || resp.ProtoMajor != major:
			return fmt.Errorf("%s answers %s %s", of.domain, resp.Proto, resp.Status)
		}
		return right(of, body)
	}
}

// ask makes a request of another kind.
func (s *soak) ask(client *http.Client, method, path string, want int) func(context.Context, *site) error {
	return func(ctx context.Context, of *site) error {
		resp, _, err := do(ctx, client, method, "https://"+of.domain+path)
		if err == nil && resp.StatusCode != want {
			err = fmt.Errorf("%s of %s: %s", method, path, resp.Status)
		}
		if err == nil && method == http.MethodHead && resp.ContentLength != int64(len(of.key)) {
			err = fmt.Errorf("HEAD of the key says %d bytes", resp.ContentLength)
		}
		return err
	}
}

// redirected asks the HTTP port for the key.
func (s *soak) redirected(ctx context.Context, of *site) error {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.w.HTTPAddr)
	}}
	client := &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, _, err := do(ctx, client, http.MethodGet, "http://"+of.domain+fleetapi.KeyPath)
	if err == nil && (resp.StatusCode < 300 || resp.StatusCode > 399 || resp.Header.Get("Location") != "https://"+of.domain+fleetapi.KeyPath) {
		err = fmt.Errorf("the HTTP port answers %s, %q", resp.Status, resp.Header.Get("Location"))
	}
	return err
}

// admin gets a path of the admin listener.
func (s *soak) admin(path string) func(context.Context, *site) error {
	return func(ctx context.Context, _ *site) error {
		visit, err := s.w.Admin(ctx, path)
		if err == nil && (visit.Status != http.StatusOK || len(visit.Body) == 0) {
			err = fmt.Errorf("%s answers status %d", path, visit.Status)
		}
		return err
	}
}

// dial connects to the TLS port.
func (s *soak) dial(ctx context.Context) (*net.TCPConn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.w.HTTPSAddr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline() // there is one
	return conn.(*net.TCPConn), conn.SetDeadline(deadline)
}

// stranger begins a handshake for a name that nobody hosts.
func (s *soak) stranger(ctx context.Context, _ *site) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it is of no more use
	if tls.Client(conn, &tls.Config{ServerName: "stranger.example.net", RootCAs: s.w.Roots()}).HandshakeContext(ctx) == nil {
		return errors.New("a name of nobody has a certificate")
	}
	return nil
}

// garbage sends bytes that are no TLS, and reads until wellkey closes.
func (s *soak) garbage(ctx context.Context, _ *site) error {
	text := make([]byte, 1+rand.IntN(600))
	for i := range text {
		text[i] = byte(rand.IntN(256))
	}
	return s.send(ctx, text)
}

// plain sends HTTP without TLS to the TLS port.
func (s *soak) plain(ctx context.Context, of *site) error {
	return s.send(ctx, fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", fleetapi.KeyPath, of.domain))
}

func (s *soak) send(ctx context.Context, text []byte) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it is of no more use
	_, _ = conn.Write(text)             // wellkey may have closed already
	_ = conn.CloseWrite()               // the same
	_, _ = io.Copy(io.Discard, conn)    // what it answers is its own affair
	return ctx.Err()
}

// reset begins a visit and resets the connection somewhere on the way.
func (s *soak) reset(ctx context.Context, of *site) error {
	conn, err := s.dial(ctx)
	if err != nil {
		return err
	}
	_ = conn.SetLinger(0) // makes Close send a reset
	defer func() { _ = conn.Close() }()
	switch rand.IntN(4) {
	case 0: // at once
	case 1:
		_, err = conn.Write([]byte{22, 3, 1, 2, 0, 1, 0}) // the beginning of a handshake
	default:
		secure := tls.Client(conn, &tls.Config{ServerName: of.domain, RootCAs: s.w.Roots()})
		if err = secure.HandshakeContext(ctx); err == nil && rand.IntN(2) == 0 {
			_, err = fmt.Fprintf(secure, "GET %s HTTP/1.1\r\nHost: %s\r\n", fleetapi.KeyPath, of.domain)
		}
	}
	return err
}
