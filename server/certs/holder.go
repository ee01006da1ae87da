package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"wellkey/internal/phrase"
)

// A holder has the certificate that is served, if there is one yet.
type holder struct {
	domain  string
	current atomic.Pointer[tls.Certificate] // Leaf is always set
}

// TLSConfig returns a configuration for HTTP that serves the current
// certificate.
func (h *holder) TLSConfig() *tls.Config { return tlsConfig(h.get) }

func tlsConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: get,
	}
}

// HTTPHandler returns fallback: there are no challenges.
func (h *holder) HTTPHandler(fallback http.Handler) http.Handler { return fallback }

// get serves whoever asks for our name or for none. Other names are refused, so
// that scanners of addresses do not learn more than they must.
func (h *holder) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert := h.current.Load()
	if cert == nil {
		return nil, errors.New("there is no certificate yet")
	}
	if name := hello.ServerName; name != "" && cert.Leaf.VerifyHostname(name) != nil {
		return nil, fmt.Errorf("no certificate for %q", name)
	}
	return cert, nil
}

// serve makes cert the current one and reports whether it is another.
func (h *holder) serve(cert *tls.Certificate) bool {
	old := h.current.Swap(cert)
	return old == nil || !bytes.Equal(old.Leaf.Raw, cert.Leaf.Raw)
}

// parsePair reads a chain and its key and checks that they belong together and
// to domain; "" = to any. It does not look at the date.
func parsePair(certPEM, keyPEM []byte, domain string) (*tls.Certificate, error) {
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, errors.New(phrase.Quote(err.Error(), 300)) // it names the kinds of the blocks that are there
	}
	if cert.Leaf == nil { // GODEBUG=x509keypairleaf=0
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, err
		}
	}
	if domain == "" {
		return &cert, nil
	}
	if err := cert.Leaf.VerifyHostname(domain); err != nil {
		return nil, err
	}
	return &cert, nil
}
