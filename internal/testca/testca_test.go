package testca_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/goleak"

	"wellkey/internal/testca"
	"wellkey/internal/testdns"
)

func TestMain(m *testing.M) {
	// Pebble has no way to end its validator.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"))
}

func start(t *testing.T, cfg testca.Config) *testca.CA {
	t.Helper()
	names, err := testdns.Start()
	if err != nil {
		t.Fatal(err)
	}
	names.Set("example.test", "A 127.0.0.1")
	cfg.DNS = names.Addr()
	ca, err := testca.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(ca.Close(), names.Close()); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return ca
}

// A responder is an HTTP-01 solver with its own listener.
type responder struct {
	port   int
	answer atomic.Value // of string
}

func listen(t *testing.T) *responder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &responder{port: listener.Addr().(*net.TCPAddr).Port}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, r.answer.Load().(string))
	})}
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return r
}

func (r *responder) Present(_ context.Context, challenge acme.Challenge) error {
	r.answer.Store(challenge.KeyAuthorization)
	return nil
}

func (*responder) CleanUp(context.Context, acme.Challenge) error { return nil }

// obtain gets a certificate for example.test and returns its verified chain.
func obtain(t *testing.T, ca *testca.CA, solver *responder, profile string, eab *acme.EAB) ([]*x509.Certificate, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.APIRoots()}}
	t.Cleanup(transport.CloseIdleConnections)
	client := acmez.Client{
		Client:           &acme.Client{Directory: ca.Directory(), HTTPClient: &http.Client{Transport: transport}},
		ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeHTTP01: solver},
	}
	account := acme.Account{TermsOfServiceAgreed: true, PrivateKey: newKey(t)}
	if eab != nil {
		if err := account.SetExternalAccountBinding(t.Context(), client.Client, *eab); err != nil {
			return nil, err
		}
	}
	account, err := client.NewAccount(t.Context(), account)
	if err != nil {
		return nil, err
	}
	key := newKey(t)
	csr, err := acmez.NewCSR(key, []string{"example.test"})
	if err != nil {
		return nil, err
	}
	order, err := acmez.OrderParametersFromCSR(account, csr)
	if err != nil {
		return nil, err
	}
	order.Profile = profile
	chains, err := client.ObtainCertificate(t.Context(), order)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chains[0].ChainPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if err != nil {
		return nil, err
	}
	return verify(pair, ca.Roots(), time.Now())
}

// verify returns the chain that pair proves for example.test at the given time.
func verify(pair tls.Certificate, roots *x509.CertPool, at time.Time) ([]*x509.Certificate, error) {
	intermediates := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		intermediates.AddCert(cert)
	}
	chains, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "example.test", Roots: roots, Intermediates: intermediates, CurrentTime: at})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestObtain(t *testing.T) {
	solver := listen(t)
	ca := start(t, testca.Config{HTTPPort: solver.port})
	for profile, commonName := range map[string]string{"classic": "example.test", "tlsserver": ""} {
		chain, err := obtain(t, ca, solver, profile, nil)
		if err != nil {
			t.Fatalf("%s: %v", profile, err)
		}
		if got := chain[0].Subject.CommonName; got != commonName {
			t.Errorf("%s: got common name %q, want %q", profile, got, commonName)
		}
	}
	if ca.Orders() != 2 || ca.Finalized() != 2 || ca.Accounts() != 2 {
		t.Errorf("got %d orders, %d finalized and %d accounts, want 2 each", ca.Orders(), ca.Finalized(), ca.Accounts())
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(ca.RootsPEM()) || !pool.Equal(ca.Roots()) {
		t.Error("RootsPEM and Roots differ")
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(ca.APIRootsPEM()) || !pool.Equal(ca.APIRoots()) {
		t.Error("APIRootsPEM and APIRoots differ")
	}
}

func TestSetPorts(t *testing.T) {
	solver := listen(t)
	ca := start(t, testca.Config{Profiles: []testca.Profile{{Name: "brief", Lifetime: time.Hour}}})
	ca.SetPorts(solver.port, 0)
	chain, err := obtain(t, ca, solver, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := chain[0].NotAfter.Sub(chain[0].NotBefore); got != time.Hour-time.Second {
		t.Errorf("got a lifetime of %v, want an hour less the last second", got)
	}
}

func TestExternalAccountIsRequired(t *testing.T) {
	solver := listen(t)
	const mac = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	ca := start(t, testca.Config{HTTPPort: solver.port, EAB: map[string]string{"kid-1": mac}})
	if _, err := obtain(t, ca, solver, "", nil); err == nil || !strings.Contains(err.Error(), "externalAccountRequired") {
		t.Errorf("without a binding: got %v, want externalAccountRequired", err)
	}
	if _, err := obtain(t, ca, solver, "", &acme.EAB{KeyID: "kid-1", MACKey: mac}); err != nil {
		t.Errorf("with a binding: %v", err)
	}
}

func TestIntercept(t *testing.T) {
	solver := listen(t)
	ca := start(t, testca.Config{HTTPPort: solver.port})
	ca.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != testca.NewOrderPath {
			return false
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"type":"urn:ietf:params:acme:error:rateLimited","status":429}`)
		return true
	})
	if _, err := obtain(t, ca, solver, "", nil); err == nil || !strings.Contains(err.Error(), "rateLimited") {
		t.Errorf("got %v, want rateLimited", err)
	}
	if ca.Orders() == 0 || ca.Finalized() != 0 {
		t.Errorf("got %d orders and %d finalized, want some and none", ca.Orders(), ca.Finalized())
	}
	ca.Intercept(nil)
	if _, err := obtain(t, ca, solver, "", nil); err != nil {
		t.Errorf("after the fault: %v", err)
	}
}

func TestSetRenewalInfo(t *testing.T) {
	solver := listen(t)
	ca := start(t, testca.Config{HTTPPort: solver.port})
	chain, err := obtain(t, ca, solver, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := ca.SetRenewalInfo(chain[0], begin, begin.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.APIRoots()}}
	t.Cleanup(transport.CloseIdleConnections)
	client := acme.Client{Directory: ca.Directory(), HTTPClient: &http.Client{Transport: transport}}
	info, err := client.GetRenewalInfo(t.Context(), chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if !info.SuggestedWindow.Start.Equal(begin) {
		t.Errorf("got a window from %v, want %v", info.SuggestedWindow.Start, begin)
	}
	unknown := &x509.Certificate{SerialNumber: big.NewInt(1)}
	if err := ca.SetRenewalInfo(unknown, begin, begin); err == nil || !strings.HasPrefix(err.Error(), "setting renewal info of 1: ") {
		t.Errorf("a certificate of nobody: got %v, want an error", err)
	}
}

func TestSigner(t *testing.T) {
	signer, err := testca.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, test := range []struct {
		name string
		opts testca.LeafOptions
		host string
		want string // part of the verification error
	}{
		{"good", testca.LeafOptions{}, "example.test", ""},
		{"no common name", testca.LeafOptions{NoCommonName: true}, "example.test", ""},
		{"expired", testca.LeafOptions{NotBefore: now.AddDate(0, -4, 0), NotAfter: now.Add(-time.Minute)}, "example.test", "expired or is not yet valid"},
		{"early", testca.LeafOptions{NotBefore: now.Add(time.Hour)}, "example.test", "expired or is not yet valid"},
		{"wrong name", testca.LeafOptions{}, "other.test", "valid for other.test"},
		{"self-signed", testca.LeafOptions{SelfSigned: true}, "example.test", "unknown authority"},
		{"incomplete", testca.LeafOptions{Incomplete: true}, "example.test", "unknown authority"},
	} {
		leaf, err := signer.Issue(test.opts, test.host)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		_, err = verify(leaf.Certificate, signer.Roots(), now)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
		if got := leaf.Certificate.Leaf.Subject.CommonName; (got == "") != test.opts.NoCommonName {
			t.Errorf("%s: got common name %q", test.name, got)
		}
	}
	if pool := x509.NewCertPool(); !pool.AppendCertsFromPEM(signer.RootsPEM()) || !pool.Equal(signer.Roots()) {
		t.Error("RootsPEM and Roots differ")
	}
}

func TestWriteFiles(t *testing.T) {
	signer, err := testca.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := signer.Issue(testca.LeafOptions{}, "example.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile, err := leaf.WriteFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(keyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: got %v, %v, want mode 0600", info.Mode(), err)
	}
	if _, _, err := leaf.WriteFiles(filepath.Join(dir, "none")); err == nil {
		t.Error("writing into a directory that does not exist: got no error")
	}
}
