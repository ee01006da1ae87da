// Package testnet is the internet of one test, on loopback: names, keys,
// certificates, and hosts that serve a key well or badly. What cannot be set up
// fails the test, and what was started ends with it.
package testnet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"testing"

	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testhost"
	"wellkey/keystore"
)

// DNS starts a server in which no name exists.
func DNS(t testing.TB) *testdns.Server {
	t.Helper()
	server, err := testdns.Start()
	must(t, err)
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Signer returns a new authority.
func Signer(t testing.TB) *testca.Signer {
	t.Helper()
	signer, err := testca.NewSigner()
	must(t, err)
	return signer
}

// Certificate returns a TLS configuration with a leaf of signer for names.
func Certificate(t testing.TB, signer *testca.Signer, options testca.LeafOptions, names ...string) *tls.Config {
	t.Helper()
	leaf, err := signer.Issue(options, names...)
	must(t, err)
	return &tls.Config{Certificates: []tls.Certificate{leaf.Certificate}}
}

// Key returns a new key with its private half.
func Key(t testing.TB) (*ecdsa.PrivateKey, keystore.Key) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	parsed, err := keystore.Parse(PublicPEM(t, &private.PublicKey))
	must(t, err)
	return private, parsed.Key
}

// PublicPEM encodes a public key of any kind.
func PublicPEM(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// Ports returns two different ports that were free at ip a moment ago; "" is
// every address.
func Ports(t testing.TB, ip string) (one, two int) {
	t.Helper()
	addrs, err := testhost.Addrs(ip, 2)
	must(t, err)
	return testhost.Port(addrs[0]), testhost.Port(addrs[1])
}

// Listen listens until the end of the test.
func Listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() }) // the server over it may have closed it
	return listener
}

// Serve serves handler on listener until the end of the test: over TLS, or in
// the clear where config is nil.
func Serve(t testing.TB, listener net.Listener, config *tls.Config, handler http.Handler) {
	if config != nil {
		listener = tls.NewListener(listener, config)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }() // ends with http.ErrServerClosed
	t.Cleanup(func() { _ = server.Close(); <-ended })
}

// File answers with body at path, as the file of a key.
func File(path string, body []byte) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/x-pem-file")
		rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = rw.Write(body) // a client that has gone is no fault of the test
	})
	return mux
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
