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
	"slices"
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
	resource
	ours   bool             // it is of our CA
	cert   *tls.Certificate // nil = none that could be served
	linked bool             // the CA will know what a renewal replaces
	ari    acme.RenewalInfo // when the CA wants it renewed
}

// load reads our certificate, without locks and without network. What is damaged
// moves out of the way. After a change of the CA, the certificate of another CA
// does until there is one of ours.
func (m *Manager) load(ctx context.Context) (stored, error) {
	own, err := m.loadOwn(ctx)
	if err != nil || own.cert != nil {
		return own, err
	}
	issuers, err := m.cfg.Storage.List(ctx, "certificates", false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return own, nil // nothing that we depend on
	}
	for _, issuer := range issuers {
		res, err := loadResource(ctx, m.cfg.Storage.Load, path.Base(issuer), m.cfg.Domain)
		if err != nil {
			continue
		}
		cert, err := res.pair(m.cfg.Domain)
		if err == nil && (own.cert == nil || cert.Leaf.NotAfter.After(own.cert.Leaf.NotAfter)) {
			own.cert, own.ours = cert, false
		}
	}
	return own, nil
}

// loadOwn reads what our CA gave for our domain. What cannot be served goes to
// quarantine as a whole; if we still have it in memory, it is stored again.
func (m *Manager) loadOwn(ctx context.Context) (s stored, err error) {
	s.ours = true
	s.resource, err = loadResource(ctx, m.fetch, m.issuerKey, m.cfg.Domain)
	if err != nil {
		return s, err
	}
	if next := m.unfinished(ctx, s.resource); next != nil {
		s.resource = *next
		m.unsaved = next // finishes it
	}
	var damage error
	if s.CertPEM != nil || s.KeyPEM != nil {
		if s.cert, damage = s.pair(m.cfg.Domain); damage == nil {
			damage = checkChain(s.cert)
		}
		if damage != nil {
			s.cert = nil
			if err := m.quarantine(ctx, certmagic.StorageKeys.CertsSitePrefix(m.issuerKey, m.cfg.Domain), damage.Error()); err != nil {
				return s, err
			}
		}
	}
	if s.cert == nil {
		s.resource = resource{Issuer: m.issuerKey}
		if m.held == nil || damage == nil {
			return s, nil
		}
		s.resource, m.unsaved = *m.held, m.held
		if s.cert, err = s.pair(m.cfg.Domain); err != nil {
			return s, err
		}
	}
	if err := m.mendMeta(ctx, &s); err != nil {
		return s, err
	}
	if m.unsaved != nil {
		m.save(ctx)
	}
	m.held = &s.resource
	return s, nil
}

// mendMeta reads what the CA said about renewal. Metadata that cannot be read is
// replaced by what we know ourselves: it is not worth a certificate.
func (m *Manager) mendMeta(ctx context.Context, s *stored) error {
	res, meta, err := decodeMeta(s.Meta)
	if err == nil && !slices.Contains(res.SANs, m.cfg.Domain) {
		err = errors.New("it is for other names")
	}
	if err != nil {
		key := certmagic.StorageKeys.SiteMeta(m.issuerKey, m.cfg.Domain)
		if s.Meta != nil {
			if err := m.quarantine(ctx, key, "the metadata of the certificate is damaged"); err != nil {
				return err
			}
		}
		meta = acme.Certificate{CA: m.directory.URL}
		if s.Meta, err = encodeMeta(certmagic.CertificateResource{SANs: []string{m.cfg.Domain}}, meta); err != nil {
			return err
		}
		m.log.Warn("metadata of the certificate was missing or damaged and is made anew", zap.String("key", key))
		if err := m.cfg.Storage.Store(ctx, key, s.Meta); err != nil {
			m.log.Debug("storing metadata", zap.Error(err)) // made anew the next time
		}
	}
	s.linked = meta.CA == m.directory.URL
	if meta.RenewalInfo != nil {
		s.ari = *meta.RenewalInfo
	}
	return nil
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

func encodeMeta(res certmagic.CertificateResource, meta acme.Certificate) (_ []byte, err error) {
	if res.IssuerData, err = json.Marshal(meta); err != nil {
		return nil, fmt.Errorf("encoding what the CA said: %w", err)
	}
	data, err := json.Marshal(res)
	if err != nil {
		return nil, fmt.Errorf("encoding metadata: %w", err)
	}
	return data, nil
}

// refreshARI asks the CA again when it wants s renewed (RFC 9773), if it is time
// to ask, and stores the answer. A CA that does not answer changes nothing.
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
	if err := m.storeRenewalInfo(ctx, s); err != nil {
		m.log.Debug("storing when to renew", zap.Error(err))
	}
}

func (m *Manager) storeRenewalInfo(ctx context.Context, s *stored) error {
	res, meta, err := decodeMeta(s.Meta)
	if err != nil {
		return err
	}
	meta.RenewalInfo = &s.ari
	if s.Meta, err = encodeMeta(res, meta); err != nil {
		return err
	}
	return m.cfg.Storage.Store(ctx, certmagic.StorageKeys.SiteMeta(m.issuerKey, m.cfg.Domain), s.Meta)
}

// renewalTime returns when leaf is to be renewed: when the CA suggests, or with a
// third of its life left, whichever comes first.
func renewalTime(leaf *x509.Certificate, ari acme.RenewalInfo) time.Time {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	at := leaf.NotAfter.Add(-time.Duration(float64(life) * renewalRatio))
	if !ari.SelectedTime.IsZero() && ari.SelectedTime.Before(at) {
		at = ari.SelectedTime
	}
	return at
}
