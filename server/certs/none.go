package certs

import (
	"context"
	"crypto/tls"
	"net/http"
)

// None is for a proxy in front that ends TLS: there is no certificate here.
type None struct{}

// TLSConfig returns nil: there must be no TLS listener.
func (None) TLSConfig() *tls.Config { return nil }

// HTTPHandler returns fallback: there are no challenges.
func (None) HTTPHandler(fallback http.Handler) http.Handler { return fallback }

// Run waits until ctx is done.
func (None) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Add does nothing.
func (None) Add(string) {}

// Remove does nothing.
func (None) Remove(string) {}

// Has returns true: the proxy has the certificates.
func (None) Has(string) bool { return true }

// Status says that TLS is off.
func (None) Status(string) Status { return Status{Source: "off"} }
