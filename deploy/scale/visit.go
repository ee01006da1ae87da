package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// A visitor fetches keys and makes handshakes. It does not prove the chain, which
// would be its own work and not the server's.
type visitor struct{ addr string }

func newVisitor(w *testworld.World) visitor { return visitor{w.HTTPSAddr} }

// visitPatience bounds one visit. One that comes too early is refused at once.
const visitPatience = 10 * time.Second

// handshake makes a connection to a domain, and a whole handshake: no ticket of an
// earlier one.
func (v visitor) handshake(ctx context.Context, domain string) (*tls.Conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", v.addr)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{ServerName: domain, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	if err := conn.ConnectionState().PeerCertificates[0].VerifyHostname(domain); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// fetch gets the key of a domain.
func (v visitor) fetch(ctx context.Context, domain string) error {
	ctx, cancel := context.WithTimeout(ctx, visitPatience)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return v.handshake(ctx, domain)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+domain+fleetapi.KeyPath, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// first fetches the key of a domain until it comes, and returns when it did.
func (v visitor) first(ctx context.Context, domain string, patience time.Duration) (at time.Time, err error) {
	var last error
	err = until(ctx, patience, "the key of "+domain, func() bool {
		last = v.fetch(ctx, domain)
		return last == nil
	})
	if err != nil {
		err = errors.Join(err, last)
	}
	return time.Now(), err
}
