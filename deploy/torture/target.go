package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"wellkey/internal/testworld"
)

// The addresses at which wellkey is visited: public ones, and one of loopback.
const (
	public4 = "198.18.0.1"
	public6 = "2001:db8::1"
	private = "127.0.0.1"
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
}

// start starts wellkey in a world of its own. The caller stops it.
func start(ctx context.Context, o options, dir string, settings ...string) (*target, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w, err := testworld.Start(testworld.Config{Domain: domain, Dir: dir, Files: true})
	if err != nil {
		return nil, err
	}
	t := &target{w: w, aim: aim{Admin: w.AdminAddr, roots: w.Roots()}}
	_, t.Port, _ = net.SplitHostPort(w.HTTPSAddr)
	_, t.Plain, _ = net.SplitHostPort(w.HTTPAddr)
	settings = append(settings, "HTTPS_ADDR=:"+t.Port, "HTTP_ADDR=:"+t.Plain)
	if t.process, err = w.Exec(o.binary, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}, settings...); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		key, fetchErr := t.fetch(ctx, "198.19.255.1")
		if err = fetchErr; err == nil {
			t.key = key
			return t, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("wellkey does not serve: %w\n%s", err, t.process.Log), t.stop())
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
	secured := tls.Client(conn, &tls.Config{ServerName: domain, RootCAs: a.roots, InsecureSkipVerify: a.roots == nil, NextProtos: protocols})
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	_ = conn.SetDeadline(time.Time{})
	return secured, nil
}

// fetch gets the key over a connection of its own.
func (t *target) fetch(ctx context.Context, from string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return t.secure(ctx, from, public4)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+domain+"/.well-known/appspecific/com.tesla.3p.public-key.pem", nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // nothing was written
	body, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.HasPrefix(string(body), "-----BEGIN PUBLIC KEY-----")) {
		err = fmt.Errorf("status %d: %.80q", response.StatusCode, body)
	}
	return body, err
}

// memory returns the most that wellkey has had since calm, in bytes.
func (t *target) memory() (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.process.Pid()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "VmHWM:" {
			kib, err := strconv.Atoi(words[1])
			return kib << 10, err
		}
	}
	return 0, errors.New("the kernel does not say how much memory it is")
}

// calm has memory begin anew.
func (t *target) calm() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", t.process.Pid()), []byte("5"), 0) // see proc(5)
}

// series returns what is at /metrics, by name and labels.
func (a *aim) series(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // nothing was written
	body, err := io.ReadAll(response.Body)
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		if all[name], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, err
		}
	}
	return all, err
}
