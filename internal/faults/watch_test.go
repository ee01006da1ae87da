package faults_test

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
	"slices"
	"sync"
	"testing"
	"time"

	"wellkey/server"
)

// A watcher is a client that fetches the key in a loop, each time over a new
// connection, for as long as a test lasts. A wrong byte is always an error. A
// failed request is one once the key was served, unless the test has taken the
// process away.
type watcher struct {
	t      *testing.T
	addr   string
	domain string
	client *http.Client
	stop   func()

	mu         sync.Mutex    // guards what follows
	keys       [][]byte      // that may be served
	began      int           // fetches begun
	good       int           // fetches that gave the key
	goodAt     time.Time     // when the last of them ended
	goodNumber int           // and which it was
	last       error         // of the last fetch
	news       chan struct{} // closed at the end of the next fetch
	must       bool          // a failure is an error
	from       int           // the first fetch of which that holds
	former     int           // the last fetch that may have met a process which is gone
	faults     []string
	serials    []string // of the certificates, in the order in which they were served
}

// watch begins to fetch; it ends after the test, with everything that was wrong.
// roots and the time are asked for at every fetch; while undated holds, the
// dates of the certificate do not count.
func watch(t *testing.T, addr, domain string, key []byte, roots func() *x509.CertPool, now func() time.Time, undated func() bool) *watcher {
	w := &watcher{t: t, addr: addr, domain: domain, keys: [][]byte{key}, news: make(chan struct{})}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		TLSClientConfig: &tls.Config{
			ServerName:         domain,
			InsecureSkipVerify: true, // VerifyConnection does it, by the clock of the test
			VerifyConnection: func(state tls.ConnectionState) error {
				at := now()
				if undated() {
					at = state.PeerCertificates[0].NotBefore.Add(time.Second)
				}
				return w.verify(state.PeerCertificates, roots(), at)
			},
		},
	}
	w.client = &http.Client{Transport: transport, Timeout: 30 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for pace.wait(ctx) == nil {
			w.fetch(ctx)
		}
	}()
	w.stop = sync.OnceFunc(func() { cancel(); <-ended; w.report() })
	t.Cleanup(w.stop)
	return w
}

func (w *watcher) verify(chain []*x509.Certificate, roots *x509.CertPool, at time.Time) error {
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: w.domain, Roots: roots, Intermediates: intermediates, CurrentTime: at})
	return err
}

// errWrong is of what must never be served.
var errWrong = errors.New("wrong bytes are served")

func (w *watcher) fetch(ctx context.Context) {
	w.mu.Lock()
	w.began++
	number := w.began
	w.mu.Unlock()
	serial, err := w.patiently(ctx)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last = err
	switch {
	case err == nil:
		w.good++
		w.goodAt, w.goodNumber = time.Now(), number
		if !slices.Contains(w.serials, serial) {
			w.serials = append(w.serials, serial)
		}
		if w.from == 0 && number > w.former {
			w.must, w.from = true, number
		}
	case errors.Is(err, errWrong), w.must && number >= w.from:
		w.faults = append(w.faults, err.Error())
	}
	close(w.news)
	w.news = make(chan struct{})
}

// hurry is a little less than the server waits for a client.
const hurry = 4 * time.Second

// patiently is get, and once more where that failed after seconds: on a busy machine
// it is we who got no processor, so that the server gave us up, restart or not. A server
// that hangs, or cuts what it should answer, is not forgiven for doing it twice in a row.
func (w *watcher) patiently(ctx context.Context) (serial string, err error) {
	for range 2 {
		began := time.Now()
		if serial, err = w.get(ctx); err == nil || errors.Is(err, errWrong) || time.Since(began) < hurry || ctx.Err() != nil {
			break
		}
	}
	return serial, err
}

func (w *watcher) get(ctx context.Context) (serial string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+w.domain+server.KeyPath, nil)
	if err != nil {
		return "", err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode == http.StatusOK && !w.allowed(body):
		return "", fmt.Errorf("%w: %.80q", errWrong, body)
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("the key's path answers %s", resp.Status)
	}
	return resp.TLS.PeerCertificates[0].SerialNumber.Text(16), nil
}

// allow lets another key be served, too.
func (w *watcher) allow(key []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = append(w.keys, key)
}

func (w *watcher) allowed(body []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.keys, func(key []byte) bool { return bytes.Equal(key, body) })
}

// wait waits for the end of fetches until done holds, which is asked under mu.
func (w *watcher) wait(what string, patience time.Duration, done func() bool) {
	w.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		w.mu.Lock()
		ok, news, last := done(), w.news, w.last
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-news:
		case <-limit.C:
			w.t.Fatalf("waiting for %s: not within %v; the last fetch: %v", what, patience, last)
		}
	}
}

// served waits for a fetch that begins now and gives the key.
func (w *watcher) served() {
	w.t.Helper()
	w.mu.Lock()
	begun := w.began
	w.mu.Unlock()
	w.wait("the key", patience, func() bool { return w.goodNumber > begun })
}

// down says that the process goes away now: failures are no faults until up.
func (w *watcher) down() (at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.must, w.from = false, -1
	return time.Now()
}

// up waits until the key is served again, from when on failures are faults, and
// returns how long that took since the time that down returned.
func (w *watcher) up(since time.Time) time.Duration {
	w.t.Helper()
	w.mu.Lock()
	w.from, w.former = 0, w.began
	w.mu.Unlock()
	w.wait("the key after a restart", patience, func() bool { return w.goodNumber > w.former })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.goodAt.Sub(since)
}

// certificates returns how many certificates were seen so far.
func (w *watcher) certificates() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.serials)
}

func (w *watcher) report() {
	w.client.CloseIdleConnections()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.faults) > 0 {
		w.t.Errorf("of %d fetches, %d gave the key, and %d failed while it had to be served; the first: %s", w.began, w.good, len(w.faults), w.faults[0])
	}
}

// patience is how long a test waits for what must come. It is far more than
// anything needs, since a machine may be busy, and only a test that fails uses it.
const patience = 3 * time.Minute

// pace lets all watchers together make 100 fetches a second, and each 50.
var pace pacer

type pacer struct {
	mu   sync.Mutex
	next time.Time // guarded by mu
}

func (p *pacer) wait(ctx context.Context) error {
	p.mu.Lock()
	now := time.Now()
	at := now.Add(20 * time.Millisecond)
	if p.next.After(at) {
		at = p.next
	}
	p.next = at.Add(10 * time.Millisecond)
	p.mu.Unlock()
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
