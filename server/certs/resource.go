package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// A resource is a certificate with all that is stored beside it.
type resource struct {
	Issuer  string `json:"issuer"` // certmagic's name of the CA
	CertPEM []byte `json:"cert"`   // with the chain, leaf first
	KeyPEM  []byte `json:"key"`
	Meta    []byte `json:"meta"` // JSON of a certmagic.CertificateResource
}

func (r resource) pair(domain string) (*tls.Certificate, error) {
	return parsePair(r.CertPEM, r.KeyPEM, domain)
}

// assets returns what is stored, by key.
func (r resource) assets(domain string) map[string][]byte {
	return map[string][]byte{
		certmagic.StorageKeys.SitePrivateKey(r.Issuer, domain): r.KeyPEM,
		certmagic.StorageKeys.SiteCert(r.Issuer, domain):       r.CertPEM,
		certmagic.StorageKeys.SiteMeta(r.Issuer, domain):       r.Meta,
	}
}

// loadResource reads what issuer gave for domain; what does not exist is nil.
func loadResource(ctx context.Context, load func(context.Context, string) ([]byte, error), issuer, domain string) (resource, error) {
	r := resource{Issuer: issuer}
	for _, part := range []struct {
		data *[]byte
		key  string
	}{
		{&r.CertPEM, certmagic.StorageKeys.SiteCert(issuer, domain)},
		{&r.KeyPEM, certmagic.StorageKeys.SitePrivateKey(issuer, domain)},
		{&r.Meta, certmagic.StorageKeys.SiteMeta(issuer, domain)},
	} {
		data, err := load(ctx, part.key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
		if err == nil {
			*part.data = append([]byte{}, data...) // not nil where it is empty
		}
	}
	return r, nil
}

// nextKey is where a new certificate is written first, in one piece: whoever is
// stopped while the parts are replaced finds it there.
func (a *authority) nextKey() string {
	return certmagic.StorageKeys.CertsSitePrefix(a.issuerKey, a.m.domain) + "/" + a.m.domain + ".next"
}

// unfinished returns the new certificate that was being stored when we were
// stopped, or nil.
func (a *authority) unfinished(ctx context.Context, old resource) *resource {
	data, err := a.m.fetch(ctx, a.nextKey())
	if err != nil {
		return nil // none, or none that helps
	}
	var next resource
	cert, err := (*tls.Certificate)(nil), json.Unmarshal(data, &next)
	if err == nil {
		cert, err = next.pair(a.m.domain)
	}
	if err == nil {
		err = checkChain(cert)
	}
	if err != nil || next.Issuer != a.issuerKey {
		_ = a.m.quarantine(ctx, a.nextKey(), "the certificate that was being stored is damaged") // logged; the parts count
		return nil
	}
	if stored, err := old.pair(a.m.domain); err == nil && stored.Leaf.NotBefore.After(cert.Leaf.NotBefore) {
		return nil
	}
	return &next
}

// save stores the certificate that is only in memory, and reports whether it
// could. The old one stays as it is until the new one is stored whole.
func (a *authority) save(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := a.store(ctx, *a.unsaved); err != nil {
		failure := a.explain(&localError{fmt.Errorf("storing the certificate: %w", err)})
		a.update(func(s *state) { s.last = &failure })
		if !a.saving {
			a.log.Error("certificate cannot be stored, so it is served from memory and would be lost with this process",
				zap.String("fix", failure.Fix), zap.String("error", failure.Text), zap.Duration("retry_in", saveAgain))
		}
		a.saving = true
		return false
	}
	if a.saving {
		a.log.Info("certificate stored at last")
		a.update(func(s *state) { s.last = nil })
	}
	a.unsaved, a.saving = nil, false
	return true
}

func (a *authority) store(ctx context.Context, r resource) error {
	whole, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	if err := a.m.cfg.Storage.Store(ctx, a.nextKey(), whole); err != nil {
		return err
	}
	for key, data := range r.assets(a.m.domain) {
		if err := a.m.cfg.Storage.Store(ctx, key, data); err != nil {
			return err
		}
	}
	return a.m.cfg.Storage.Delete(ctx, a.nextKey())
}

// judge returns what a CA gave as a certificate that may replace the current one:
// for the right key and name, in date, and with a chain whose links hold.
func (m *subject) judge(r resource) (*tls.Certificate, error) {
	cert, err := r.pair(m.domain)
	if err != nil {
		return nil, err
	}
	// A new certificate may begin in what our clock calls the future, as far as
	// the CA's clock may differ.
	if words := dateWarning(cert.Leaf, m.cfg.Now()); words != "" && dateWarning(cert.Leaf, m.cfg.Now().Add(clockTolerance)) != "" {
		return nil, errors.New("it " + words)
	}
	return cert, checkChain(cert)
}

// checkChain returns an error where a link of the chain does not hold, or where
// there is none at all: such a certificate is trusted by nobody.
func checkChain(cert *tls.Certificate) error {
	below := cert.Leaf
	for _, der := range cert.Certificate[1:] {
		above, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("reading its chain: %w", err)
		}
		if err := below.CheckSignatureFrom(above); err != nil {
			return fmt.Errorf("its chain does not hold: %w", err)
		}
		below = above
	}
	if len(cert.Certificate) == 1 {
		return errors.New("its chain is missing")
	}
	return nil
}

// reject keeps a certificate that is not fit to be served, for whoever wants to
// know why.
func (m *subject) reject(ctx context.Context, r resource, why error) {
	key := "rejected/" + m.domain + ".crt"
	if err := m.cfg.Storage.Store(ctx, key, r.CertPEM); err != nil {
		m.log.Debug("keeping a rejected certificate", zap.Error(err))
		return
	}
	_ = m.quarantine(ctx, key, why.Error()) // logged
}

const (
	// saveAgain is how often to try to store what is only in memory.
	saveAgain = time.Minute

	// storeTimeout bounds a storage that hangs.
	storeTimeout = 30 * time.Second
)
