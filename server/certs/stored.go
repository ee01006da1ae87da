package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// renewalRatio is the part of a certificate's life that is left when it is
// renewed, unless the CA wants it earlier (Let's Encrypt's integration guide).
const renewalRatio = 1.0 / 3

// A stored is what the storage has for our domain.
type stored struct {
	found  bool             // there is something of our CA, usable or not
	ours   bool             // cert is of our CA
	cert   *tls.Certificate // nil = none that could be served
	ari    acme.RenewalInfo // when the CA wants it renewed
	damage error            // why what was found cannot be served
}

// load reads our certificate, without locks and without network. After a change
// of the CA, that of another CA does until there is one of ours.
func (m *Manager) load(ctx context.Context, c *client) (stored, error) {
	own, err := m.loadFrom(ctx, c.iss.IssuerKey())
	if err != nil || own.found {
		own.ours = true
		return own, err
	}
	issuers, err := m.cfg.Storage.List(ctx, "certificates", false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return own, err
	}
	for _, issuer := range issuers {
		other, err := m.loadFrom(ctx, path.Base(issuer))
		if err == nil && other.cert != nil && (own.cert == nil || other.cert.Leaf.NotAfter.After(own.cert.Leaf.NotAfter)) {
			own.cert = other.cert
		}
	}
	return own, nil
}

// loadFrom reads what one CA gave for our domain.
func (m *Manager) loadFrom(ctx context.Context, issuerKey string) (s stored, err error) {
	certPEM, certErr := m.cfg.Storage.Load(ctx, certmagic.StorageKeys.SiteCert(issuerKey, m.cfg.Domain))
	keyPEM, keyErr := m.cfg.Storage.Load(ctx, certmagic.StorageKeys.SitePrivateKey(issuerKey, m.cfg.Domain))
	for _, err := range []error{certErr, keyErr} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	s.found = certErr == nil || keyErr == nil
	if s.damage = errors.Join(certErr, keyErr); s.damage != nil {
		return s, nil
	}
	s.cert, s.damage = parsePair(certPEM, keyPEM, m.cfg.Domain)
	if s.cert != nil {
		s.ari, err = m.loadRenewalInfo(ctx, issuerKey)
	}
	return s, err
}

// loadRenewalInfo reads what the CA said about renewal. Metadata that cannot be
// read is replaced by what we know ourselves: it is not worth a certificate,
// and certmagic would refuse to renew with it.
func (m *Manager) loadRenewalInfo(ctx context.Context, issuerKey string) (acme.RenewalInfo, error) {
	key := certmagic.StorageKeys.SiteMeta(issuerKey, m.cfg.Domain)
	data, err := m.cfg.Storage.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return acme.RenewalInfo{}, nil
	}
	if err != nil {
		return acme.RenewalInfo{}, err
	}
	_, meta, err := decodeMeta(data)
	if err != nil {
		m.log.Warn("replacing damaged metadata of the certificate", zap.String("key", key), zap.Error(err))
		return acme.RenewalInfo{}, m.storeMeta(ctx, key, certmagic.CertificateResource{SANs: []string{m.cfg.Domain}})
	}
	if meta.RenewalInfo == nil {
		return acme.RenewalInfo{}, nil
	}
	return *meta.RenewalInfo, nil
}

func decodeMeta(data []byte) (resource certmagic.CertificateResource, meta acme.Certificate, err error) {
	if err := json.Unmarshal(data, &resource); err != nil {
		return resource, meta, err
	}
	if len(resource.IssuerData) == 0 {
		return resource, meta, nil
	}
	return resource, meta, json.Unmarshal(resource.IssuerData, &meta)
}

func (m *Manager) storeMeta(ctx context.Context, key string, resource certmagic.CertificateResource) error {
	data, err := json.Marshal(resource)
	if err != nil {
		return fmt.Errorf("encoding metadata: %w", err)
	}
	return m.cfg.Storage.Store(ctx, key, data)
}

// refreshARI asks the CA again when it wants s renewed (RFC 9773), if it is time
// to ask, and stores the answer, since certmagic renews by what is stored. A CA
// that does not answer changes nothing.
func (m *Manager) refreshARI(ctx context.Context, c *client, s *stored) {
	if !s.ari.HasWindow() || !s.ari.NeedsRefresh() && !s.ari.SelectedTime.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	info, err := c.iss.GetRenewalInfo(ctx, certmagic.Certificate{Certificate: *s.cert})
	if err != nil {
		m.log.Debug("asking the CA when to renew", zap.Error(err))
		return
	}
	if info.SameWindow(s.ari) && !s.ari.SelectedTime.IsZero() {
		info.SelectedTime = s.ari.SelectedTime // chosen at random once, and kept
	}
	s.ari = info
	if err := m.storeRenewalInfo(ctx, c.iss.IssuerKey(), info); err != nil {
		m.log.Debug("storing when to renew", zap.Error(err))
	}
}

func (m *Manager) storeRenewalInfo(ctx context.Context, issuerKey string, info acme.RenewalInfo) error {
	key := certmagic.StorageKeys.SiteMeta(issuerKey, m.cfg.Domain)
	data, err := m.cfg.Storage.Load(ctx, key)
	if err != nil {
		return err
	}
	resource, meta, err := decodeMeta(data)
	if err != nil {
		return err
	}
	meta.RenewalInfo = &info
	if resource.IssuerData, err = json.Marshal(meta); err != nil {
		return fmt.Errorf("encoding renewal info: %w", err)
	}
	return m.storeMeta(ctx, key, resource)
}

// renewalTime returns when leaf is to be renewed: when the CA suggests, or with a
// third of its life left, whichever comes first. certmagic checks the same again
// under its lock.
func renewalTime(leaf *x509.Certificate, ari acme.RenewalInfo) time.Time {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	at := leaf.NotAfter.Add(-time.Duration(float64(life) * renewalRatio))
	if !ari.SelectedTime.IsZero() && ari.SelectedTime.Before(at) {
		at = ari.SelectedTime
	}
	return at.Add(time.Second) // certmagic wants it to be later, not the same
}
