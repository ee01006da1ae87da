package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"wellkey/internal/storage"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testleak"
	"wellkey/server/certs"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The tests mostly wait for an ACME client that polls four times a second.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	// certmagic makes 10 orders in 10 s, so that many domains would take long.
	certmagic.RateLimitEvents = 10_000
	testleak.Main(m.Run)
}

// patience is how long a test waits for what must come. It is far more than
// anything needs, since a machine may be busy, and only a test that fails uses it.
const patience = 2 * time.Minute

// A rig is a CA, a name and two listeners for one domain. Each test has a domain
// of its own, since certmagic keeps challenges by domain in globals.
type rig struct {
	domain    string
	ca        *testca.CA
	second    *testca.CA // nil unless startSecond was called
	names     *testdns.Server
	dir       string // of the storage
	http, tls net.Listener
	counts    bool         // its CA is treated as one with limits that last
	ahead     atomic.Int64 // of the real clock, both ours and the CA's: waits add to it
}

// now is the time for us and the CA.
func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

func newRig(t *testing.T, domain string, cfg testca.Config) *rig {
	t.Helper()
	names, err := testdns.Start()
	if err != nil {
		t.Fatal(err)
	}
	names.Set(domain, "A 127.0.0.1")
	cfg.DNS = names.Addr()
	r := &rig{domain: domain, names: names, dir: filepath.Join(t.TempDir(), "data"), http: listen(t), tls: listen(t)}
	cfg.Date = r.now
	cfg.HTTPPort, cfg.TLSPort = r.http.Addr().(*net.TCPAddr).Port, r.tls.Addr().(*net.TCPAddr).Port
	if r.ca, err = testca.Start(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.ca.Close(), names.Close()); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return r
}

// startSecond starts another CA and returns it as the fallback of a Config.
func (r *rig) startSecond(t *testing.T, cfg testca.Config) *certs.FallbackCA {
	t.Helper()
	cfg.DNS, cfg.Date = r.names.Addr(), r.now
	cfg.HTTPPort, cfg.TLSPort = r.http.Addr().(*net.TCPAddr).Port, r.tls.Addr().(*net.TCPAddr).Port
	second, err := testca.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.second = second
	t.Cleanup(func() {
		if err := second.Close(); err != nil {
			t.Errorf("closing the second CA: %v", err)
		}
	})
	return &certs.FallbackCA{Directory: r.second.Directory()}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // mostly closed by its server
	return listener
}

func (r *rig) storage(t *testing.T) *storage.Directory {
	t.Helper()
	store, err := storage.OpenDirectory(r.dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// config returns a Config with both listeners.
func (r *rig) config(t *testing.T) certs.Config {
	t.Helper()
	return certs.Config{
		Storage: r.storage(t), Directory: r.ca.Directory(), Roots: r.ca.APIRoots(),
		HTTPAddr: func() string { return r.http.Addr().String() },
		TLSAddr:  func() string { return r.tls.Addr().String() },
		Common:   certs.Common{Now: r.now},
	}
}

// A run is a Manager of the rig's domain that runs. It stops in each wait, sends how long that is,
// and goes on when it is told to.
type run struct {
	*certs.Manager
	served string
	waits  chan time.Duration
	goOn   chan struct{}
	stop   func()
}

// start serves both listeners and runs a Manager; a listener that cfg leaves
// out is not served.
func (r *rig) start(t *testing.T, cfg certs.Config) *run {
	t.Helper()
	m := &run{served: r.domain, waits: make(chan time.Duration), goOn: make(chan struct{})}
	cfg.Wait = func(ctx context.Context, d time.Duration) error {
		select {
		case m.waits <- d:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case <-m.goOn:
			r.ahead.Add(int64(d))
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var err error
	if m.Manager, err = certs.New(cfg); err != nil {
		t.Fatal(err)
	}
	m.Add(r.domain)
	if r.counts {
		m.CACounts()
	}
	var servers []*http.Server
	ended := make(chan error, 3)
	quiet := log.New(io.Discard, "", 0)
	if cfg.HTTPAddr != nil {
		server := &http.Server{Handler: m.HTTPHandler(http.NotFoundHandler()), ErrorLog: quiet}
		servers = append(servers, server)
		go func() { ended <- server.Serve(r.http) }()
	}
	if cfg.TLSAddr != nil {
		server := &http.Server{Handler: http.NotFoundHandler(), TLSConfig: m.TLSConfig(), ErrorLog: quiet}
		servers = append(servers, server)
		go func() { ended <- server.ServeTLS(r.tls, "", "") }()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if err := m.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stopped := false
	m.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		<-finished
		for _, server := range servers {
			_ = server.Close()
			<-ended
		}
	}
	t.Cleanup(m.stop)
	return m
}

// Status returns how it stands with the rig's domain.
func (m *run) Status() certs.Status { return m.Manager.Status(m.served) }

// relisten replaces the listeners that a stopped run has closed.
func (r *rig) relisten(t *testing.T) {
	t.Helper()
	r.http, r.tls = listen(t), listen(t)
	r.ca.SetPorts(r.http.Addr().(*net.TCPAddr).Port, r.tls.Addr().(*net.TCPAddr).Port)
	if r.second != nil {
		r.second.SetPorts(r.http.Addr().(*net.TCPAddr).Port, r.tls.Addr().(*net.TCPAddr).Port)
	}
}

// settle waits for the end of a step and returns how long the Manager would
// wait now.
func (m *run) settle(t *testing.T) time.Duration {
	t.Helper()
	select {
	case d := <-m.waits:
		return d
	case <-time.After(patience):
		t.Fatal("the manager does not come to rest")
		return 0
	}
}

// again lets the wait end and waits for the end of the next step.
func (m *run) again(t *testing.T) time.Duration {
	t.Helper()
	m.goOn <- struct{}{}
	return m.settle(t)
}

// ask asks for a renewal and waits for the end of the step that it makes. The
// Manager must look for that soon (Config.Poll).
func (m *run) ask(t *testing.T, cfg certs.Config, domain string) {
	t.Helper()
	if _, err := certs.AskForRenewal(t.Context(), cfg.Storage, domain); err != nil {
		t.Fatal(err)
	}
	m.settle(t)
}

// seam is what a server sees of each source.
type seam interface{ TLSConfig() *tls.Config }

// shake makes a TLS handshake with name as SNI and returns the chain, unverified.
func shake(t *testing.T, m seam, name string) ([]*x509.Certificate, error) {
	t.Helper()
	near, far := net.Pipe()
	server := tls.Server(far, m.TLSConfig())
	failed := make(chan error, 1)
	go func() {
		err := server.Handshake()
		_ = far.Close()
		failed <- err
	}()
	client := tls.Client(near, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	err := client.Handshake()
	_ = near.Close()
	if served := <-failed; served != nil {
		return nil, served
	}
	return client.ConnectionState().PeerCertificates, err
}

// leaf returns the certificate that is served for the rig's domain, which must
// be trusted at the given time.
func (r *rig) leaf(t *testing.T, m seam, at time.Time) *x509.Certificate {
	t.Helper()
	chain, err := shake(t, m, r.domain)
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	verify(t, chain, r.domain, r.ca.Roots(), at)
	return chain[0]
}

func verify(t *testing.T, chain []*x509.Certificate, domain string, roots *x509.CertPool, at time.Time) {
	t.Helper()
	intermediates := x509.NewCertPool()
	for _, cert := range chain[1:] {
		intermediates.AddCert(cert)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: domain, Roots: roots, Intermediates: intermediates, CurrentTime: at}); err != nil {
		t.Errorf("verifying the served certificate: %v", err)
	}
}

// issuerKey is under which name certmagic stores what the rig's CA issues.
func (r *rig) issuerKey() string {
	return (&certmagic.ACMEIssuer{CA: r.ca.Directory()}).IssuerKey()
}

// put stores data for the rig's domain under what key gives.
func (r *rig) put(t *testing.T, key func(issuer, domain string) string, data []byte) {
	t.Helper()
	if err := r.storage(t).Store(t.Context(), key(r.issuerKey(), r.domain), data); err != nil {
		t.Fatal(err)
	}
}

var keys = certmagic.StorageKeys
