package fleetsim_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/fleetsim"
	"wellkey/internal/secret"
	"wellkey/registrar/fleetapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	domain = "example.com" // the name in the certificate of httptest
	id     = "69e5a3c2-0001-4660-9816-88452a983f3b"
	secrt  = "ta-secret.a@b%c+d^e"
)

// A world is a simulator, a site that publishes a key, and a client.
type world struct {
	*fleetsim.Sim
	site   *httptest.Server
	serve  atomic.Pointer[http.HandlerFunc] // what the site answers
	client *fleetapi.Client
}

func newWorld(t *testing.T, change ...func(*fleetsim.Config)) *world {
	t.Helper()
	w := &world{}
	w.site = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*w.serve.Load())(rw, r) }))
	t.Cleanup(w.site.Close)
	w.publish(pemOf(t, newKey(t, elliptic.P256())))
	roots := x509.NewCertPool()
	roots.AddCert(w.site.Certificate())
	config := fleetsim.Config{
		Roots: roots,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.site.Listener.Addr().String())
		},
	}
	for _, c := range change {
		c(&config)
	}
	w.Sim = fleetsim.New(config)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	w.AddApp(fleetsim.App{ClientID: id, Secret: secrt, Name: "App", AllowedOrigins: []string{"https://www.example.com"}})
	w.client = w.newClient(t, id, secrt)
	return w
}

func (w *world) newClient(t *testing.T, id, secrt string, change ...func(*fleetapi.Config)) *fleetapi.Client {
	t.Helper()
	config := fleetapi.Config{
		Credentials: fleetapi.Credentials{ClientID: id, ClientSecret: secret.New(secrt)},
		AuthURL:     w.AuthURL(), BaseURLs: w.BaseURLs(),
	}
	for _, c := range change {
		c(&config)
	}
	c, err := fleetapi.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) handle(h http.HandlerFunc) { w.serve.Store(&h) }

func (w *world) publish(body string) {
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != fleetapi.KeyPath {
			http.NotFound(rw, r)
			return
		}
		_, _ = rw.Write([]byte(body))
	})
}

func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func pemOf(t *testing.T, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func hexOf(t *testing.T, public *ecdsa.PublicKey) string {
	t.Helper()
	point, err := public.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(point)
}

func wantCode(t *testing.T, err error, code fleetapi.ReasonCode) *fleetapi.Error {
	t.Helper()
	var e *fleetapi.Error
	if !errors.As(err, &e) || e.Reason() != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return e
}

// do makes the request of an operation and returns its error.
func do(ctx context.Context, c *fleetapi.Client, op fleetapi.Operation, r fleetapi.Region) error {
	var err error
	switch op {
	case fleetapi.OpToken:
		_, err = c.Token(ctx, r)
	case fleetapi.OpRegister:
		_, err = c.Register(ctx, r, domain)
	case fleetapi.OpPublicKey:
		_, err = c.PublicKey(ctx, r, domain)
	}
	return err
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
