package server_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"wellkey/internal/listen"
	"wellkey/keystore"
	"wellkey/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "keys.example.com"

// patience is how long a test waits for what must come. It is far more than
// anything needs, since a machine may be busy, and only a test that fails uses it.
const patience = 2 * time.Minute

// newKey returns a key that no other call returns.
func newKey(t testing.TB) keystore.Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	must(t, err)
	parsed, err := keystore.Parse(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	must(t, err)
	return parsed.Key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certificates is a seam with one certificate, signed by itself, and some
// challenges (path to answer).
type certificates struct {
	config     *tls.Config
	roots      *x509.CertPool
	challenges map[string]string
}

func newCertificates(t testing.TB, key crypto.Signer) *certificates {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{domain},
		NotAfter:     time.Now().Add(time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	certificate := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	return &certificates{
		roots: roots,
		config: &tls.Config{
			// Everything that the server must not take over.
			MinVersion:   tls.VersionTLS10,
			MaxVersion:   tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA},
			NextProtos:   []string{"acme-tls/1"},
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				if hello.ServerName != domain {
					return nil, &unknownName{hello.ServerName}
				}
				return certificate, nil
			},
		},
	}
}

type unknownName struct{ name string }

func (e *unknownName) Error() string { return "no certificate available for '" + e.name + "'" }

func ecdsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	return key
}

func (c *certificates) TLSConfig() *tls.Config { return c.config }

func (c *certificates) HTTPHandler(fallback http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, ok := c.challenges[r.URL.Path]; ok && r.Method == http.MethodGet {
			_, _ = w.Write([]byte(answer))
			return
		}
		fallback.ServeHTTP(w, r)
	})
}

// configure returns a Config that listens on both loopback ports with a key.
func configure(t testing.TB) (server.Config, *certificates) {
	t.Helper()
	key, certs := newKey(t), newCertificates(t, ecdsaKey(t))
	return server.Config{
		Domain:       domain,
		HTTPAddr:     "127.0.0.1:0",
		HTTPSAddr:    "127.0.0.1:0",
		Key:          func(string) keystore.Key { return key },
		Certificates: certs,
		Registerer:   prometheus.NewRegistry(),
		DrainTimeout: 5 * time.Second,
	}, certs
}

func newServer(t testing.TB, config server.Config) *server.Server {
	t.Helper()
	s, err := server.New(config)
	must(t, err)
	s.Unhurried()
	return s
}

// run listens and serves until the returned stop, which waits for Run and
// returns its error. At the end of the test it stops by itself.
func run(t testing.TB, s *server.Server) (stop func() error) {
	t.Helper()
	must(t, s.Listen(context.Background()))
	return serve(t, s)
}

// serve is run for a server that listens already.
func serve(t testing.TB, s *server.Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		err = s.Run(ctx)
	}()
	stop = func() error {
		cancel()
		<-ended
		return err
	}
	t.Cleanup(func() { must(t, stop()) })
	return stop
}

func start(t testing.TB, config server.Config) *server.Server {
	t.Helper()
	s := newServer(t, config)
	run(t, s)
	return s
}

// client returns a client that dials addr whatever the URL says, speaks one
// protocol, and follows no redirect.
func client(t testing.TB, addr string, certs *certificates, http2 bool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	transport := &http.Transport{
		Protocols:       protocols,
		TLSClientConfig: &tls.Config{RootCAs: certs.roots, ServerName: domain},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       patience,
	}
}

// await waits for something that another goroutine does by itself.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*server.Config)
		want   string
	}{
		{"no domain", func(c *server.Config) { c.Domain = "" }, "server: no domain"},
		{"no key", func(c *server.Config) { c.Key = nil }, "server: no source of keys"},
		{"nothing on", func(c *server.Config) { c.HTTPAddr, c.HTTPSAddr = "", "" },
			"server: both listeners are switched off, so nobody could fetch the key"},
		{"no certificates", func(c *server.Config) { c.Certificates = nil }, "server: an HTTPS listener without certificates"},
		{"redirect to nowhere", func(c *server.Config) { c.HTTPSAddr = "" },
			"server: the HTTPS listener is switched off and the HTTP listener only redirects to it, so nobody could fetch the key"},
		{"two at once", func(c *server.Config) { c.Domain, c.Key = "", nil }, "server: no domain\nserver: no source of keys"},
		{"empty TLS", func(c *server.Config) { c.Certificates = &certificates{} },
			"server: the certificates come without a TLS configuration"},
		{"escape", func(c *server.Config) {
			c.Certificates = &certificates{config: &tls.Config{
				GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil },
			}}
		}, "server: GetConfigForClient would escape the TLS settings of the listener"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			config, _ := configure(t)
			tc.change(&config)
			if _, err := server.New(config); err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestNewTwiceInOneRegistry(t *testing.T) {
	config, _ := configure(t)
	newServer(t, config)
	_, err := server.New(config)
	if err == nil || !strings.HasPrefix(err.Error(), "registering metrics: ") {
		t.Errorf("got %v, want an error about the metrics", err)
	}
}

func TestOneListenerOnly(t *testing.T) {
	config, certs := configure(t)
	config.HTTPAddr = ""
	s := start(t, config)
	if s.HTTPAddr() != "" {
		t.Errorf("HTTPAddr = %q, but it is switched off", s.HTTPAddr())
	}
	if got := s.Listeners(); len(got) != 1 || got[0] != (listen.State{Name: "https", Addr: s.HTTPSAddr(), Bound: true}) {
		t.Errorf("Listeners = %+v", got)
	}
	response, err := client(t, s.HTTPSAddr(), certs, true).Get("https://" + domain + server.KeyPath)
	must(t, err)
	_ = response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("got %s", response.Status)
	}
}
