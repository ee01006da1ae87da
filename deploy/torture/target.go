package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"wellkey/internal/pause"
	"wellkey/internal/testworld"
)

// The addresses at which wellkey is visited: public ones, and one of loopback.
const (
	public4 = "198.18.0.1"
	public6 = "2001:db8::1"
	private = "127.0.0.1"
)

// The addresses of who visits, from near by and from far away.
const (
	nearVisitor = "198.19.255.1"
	farVisitor  = "198.19.255.2"
)

// domain is whose key is hosted.
const domain = "torture.example.com"

// A target is a wellkey that is attacked.
type target struct {
	aim
	w       *testworld.World
	process *testworld.Process
	key     []byte // as it is served
}

// An aim is all that attackers have to know of it.
type aim struct {
	Port, Plain string // of HTTPS and HTTP
	Admin       string // host:port
	roots       *x509.CertPool
	Fast        bool // see options
}

// start starts wellkey in a world of its own, with more of an environment than it needs
// and with settings. The caller stops it.
func start(ctx context.Context, o options, dir string, environ []string, settings ...string) (*target, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w, err := testworld.Start(testworld.Config{Domain: domain, Dir: dir, Files: true})
	if err != nil {
		return nil, err
	}
	t := &target{w: w, aim: aim{Admin: w.AdminAddr, roots: w.Roots(), Fast: o.fast}}
	_, t.Port, _ = net.SplitHostPort(w.HTTPSAddr)
	_, t.Plain, _ = net.SplitHostPort(w.HTTPAddr)
	settings = append(settings, "HTTPS_ADDR=:"+t.Port, "HTTP_ADDR=:"+t.Plain)
	if t.process, err = w.Exec(o.binary, append([]string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, environ...), settings...); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	limited, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if t.key, err = t.fetch(limited, nearVisitor, 0); err == nil {
			return t, nil
		}
		if pause.For(limited, 20*time.Millisecond) != nil {
			return nil, errors.Join(fmt.Errorf("wellkey does not serve: %w\n%s", err, t.process.Log), t.stop())
		}
	}
}

// stop stops wellkey, and closes its world.
func (t *target) stop() error {
	_ = t.process.Signal(syscall.SIGTERM) // one that has ended gets none
	var err error
	if code := t.process.Wait(); code != 0 {
		err = fmt.Errorf("wellkey ended with %d", code)
	}
	return errors.Join(err, t.w.Close())
}

// dial connects from an address; "" is any.
func (a *aim) dial(ctx context.Context, from, to, port string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(to, port))
}

// secure connects over TLS. Attackers, who have no roots, do not care who answers.
func (a *aim) secure(ctx context.Context, from, to string, protocols ...string) (*tls.Conn, error) {
	conn, err := a.dial(ctx, from, to, a.Port)
	if err != nil {
		return nil, err
	}
	return a.shake(ctx, conn, protocols...)
}

// shake makes the handshake of TLS over conn, which it closes where that fails.
func (a *aim) shake(ctx context.Context, conn net.Conn, protocols ...string) (*tls.Conn, error) {
	secured := tls.Client(conn, &tls.Config{ServerName: domain, RootCAs: a.roots, InsecureSkipVerify: a.roots == nil, NextProtos: protocols})
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	return secured, nil
}

// keyRequest is one for the key, over HTTP/1, and keyHeader is all but its end.
const (
	keyHeader  = "GET /.well-known/appspecific/com.tesla.3p.public-key.pem HTTP/1.1\r\nHost: " + domain + "\r\n"
	keyRequest = keyHeader + "\r\n"
)

// fetch gets the key over a connection of its own, from an address that is a round trip
// away, within ten seconds.
func (t *target) fetch(ctx context.Context, from string, trip time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := t.dial(ctx, from, public4, t.Port)
	if err != nil {
		return nil, err
	}
	if trip > 0 {
		conn = &far{Conn: conn, trip: trip}
	}
	secured, err := t.shake(ctx, conn)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // that of TLS would have something to say, and from far away
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := io.WriteString(secured, keyHeader+"Connection: close\r\n\r\n"); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(bufio.NewReader(secured), nil)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "-----BEGIN PUBLIC KEY-----")) {
		err = fmt.Errorf("status %d: %.80q", response.StatusCode, body)
	}
	return body, err
}

// memory returns the most memory that wellkey has had since calm, in bytes.
func (t *target) memory() (int, error) { return testworld.Memory(t.process.Pid(), testworld.Peak) }

// calm has memory begin anew, with what there is now, which it returns.
func (t *target) calm() (now int, err error) {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", t.process.Pid()), []byte("5"), 0); err != nil { // see proc(5)
		return 0, err
	}
	return t.memory()
}

// series returns what is at /metrics, by name and labels.
func (a *aim) series(ctx context.Context) (map[string]float64, error) {
	return testworld.Metrics(ctx, a.Admin)
}

// sum adds up the series of one metric that have this in their labels; "" is all.
func sum(series map[string]float64, metric, label string) (n float64) {
	for name, value := range series {
		if name, labels, _ := strings.Cut(name, "{"); name == metric && strings.Contains(labels, label) {
			n += value
		}
	}
	return n
}
