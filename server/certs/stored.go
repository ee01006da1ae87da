package certs

import (
	"bytes"
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

// afterSilence is how long a CA is not asked when to renew, for any domain, after it
// did not answer.
const afterSilence = 10 * time.Minute

// renewalRatio is the part of a certificate's life that is left when it is
// renewed, unless the CA wants it earlier (Let's Encrypt's integration guide).
const renewalRatio = 1.0 / 3

// A stored is what the storage has for our domain.
type stored struct {
	resource
	of     *authority       // who issued it; nil = a CA that is not ours any more
	cert   *tls.Certificate // nil = none that could be served
	linked bool             // that CA will know what a renewal replaces
	ari    acme.RenewalInfo // when that CA wants it renewed
}

// role returns the role of the CA that issued s.
func (s stored) role() Role {
	if s.of == nil {
		return Other
	}
	return s.of.role
}

// load reads our certificate, without locks and without network: the newest that
// is in date of those that our CAs gave. What is damaged moves out of the way.
// After a change of the CAs, the certificate of another one does until there is
// one of ours.
func (m *subject) load(ctx context.Context) (best stored, err error) {
	for _, a := range m.authorities {
		s, err := a.loadOwn(ctx)
		if err != nil {
			return best, err
		}
		if s.cert != nil && m.better(s.cert, best.cert) {
			best = s
		}
	}
	if best.cert != nil {
		return best, nil
	}
	issuers, err := m.cfg.Storage.List(ctx, "certificates", false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return best, nil // nothing that we depend on
	}
	for _, issuer := range issuers {
		res, err := loadResource(ctx, m.cfg.Storage.Load, path.Base(issuer), m.domain)
		if err != nil {
			continue
		}
		if cert, err := res.pair(m.domain); err == nil && m.better(cert, best.cert) {
			best.cert, best.Issuer = cert, path.Base(issuer)
		}
	}
	return best, nil
}

// better reports whether a certificate is to be served rather than another, which
// may be nil: one in date before one that is not, and then the newer one.
func (m *subject) better(cert, than *tls.Certificate) bool {
	if than == nil {
		return true
	}
	now := m.cfg.Now()
	if good := dateWarning(cert.Leaf, now) == ""; good != (dateWarning(than.Leaf, now) == "") {
		return good
	}
	return cert.Leaf.NotBefore.After(than.Leaf.NotBefore)
}

// loadOwn reads what this CA gave for our domain. What cannot be served goes to
// quarantine as a whole; if we still have it in memory, it is stored again.
func (a *authority) loadOwn(ctx context.Context) (s stored, err error) {
	s.of = a
	s.resource, err = loadResource(ctx, a.m.fetch, a.issuerKey, a.m.domain)
	if err != nil {
		return s, err
	}
	if next := a.unfinished(ctx, s.resource); next != nil {
		s.resource = *next
		if !a.m.onlyLooks() {
			a.unsaved = next // finishes it
		}
	}
	var damage error
	if s.CertPEM != nil || s.KeyPEM != nil {
		if s.cert, damage = s.pair(a.m.domain); damage == nil {
			damage = checkChain(s.cert)
		}
		if damage != nil {
			s.cert = nil
			if err := a.m.quarantine(ctx, certmagic.StorageKeys.CertsSitePrefix(a.issuerKey, a.m.domain), damage.Error()); err != nil {
				return s, err
			}
		}
	}
	if s.cert == nil {
		s.resource = resource{Issuer: a.issuerKey}
		if a.held == nil || a.m.onlyLooks() || damage == nil {
			return s, nil
		}
		if s.resource, err = a.held.resource(); err != nil {
			return s, err
		}
		if s.cert, err = s.pair(a.m.domain); err != nil {
			return s, err
		}
		again := s.resource
		a.unsaved = &again
	}
	if err := a.mendMeta(ctx, &s); err != nil {
		return s, err
	}
	if a.unsaved != nil && !a.m.onlyLooks() {
		if bytes.Equal(a.unsaved.CertPEM, s.CertPEM) {
			a.unsaved.Meta = s.Meta // it may be mended
		}
		a.save(ctx)
	}
	a.held = a.m.keep(s.resource, s.cert)
	return s, nil
}

// mendMeta reads what the CA said about renewal. Metadata that cannot be read is
// replaced by what we know ourselves: it is not worth a certificate.
func (a *authority) mendMeta(ctx context.Context, s *stored) error {
	res, meta, err := decodeMeta(s.Meta)
	if err == nil && !slices.Contains(res.SANs, a.m.domain) {
		err = errors.New("it is for other names")
	}
	if err != nil {
		key := certmagic.StorageKeys.SiteMeta(a.issuerKey, a.m.domain)
		if s.Meta != nil {
			if err := a.m.quarantine(ctx, key, "the metadata of the certificate is damaged"); err != nil {
				return err
			}
		}
		meta = acme.Certificate{CA: a.directory.URL}
		if s.Meta, err = encodeMeta(certmagic.CertificateResource{SANs: []string{a.m.domain}}, meta); err != nil {
			return err
		}
		if a.m.onlyLooks() {
			s.linked = true
			return nil
		}
		a.log.Warn("metadata of the certificate was missing or damaged; written again", zap.String("key", key))
		if err := a.m.cfg.Storage.Store(ctx, key, s.Meta); err != nil {
			a.log.Debug("storing metadata", zap.Error(err)) // made anew the next time
		}
	}
	s.linked = meta.CA == a.directory.URL
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
func (a *authority) refreshARI(ctx context.Context, s *stored) {
	if !s.ari.HasWindow() || !s.ari.NeedsRefresh() && !s.ari.SelectedTime.IsZero() {
		return
	}
	if a.m.cfg.Now().UnixNano() < a.silentUntil.Load() {
		return // it would hold up a worker that others wait for
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	info, err := a.client.iss.GetRenewalInfo(ctx, certmagic.Certificate{Certificate: *s.cert})
	if err != nil {
		a.log.Debug("asking the CA when to renew", zap.Error(err))
		if classify(err).ofTheCA() {
			a.silentUntil.Store(a.m.cfg.Now().Add(afterSilence).UnixNano())
		}
		return
	}
	if info.SameWindow(s.ari) && !s.ari.SelectedTime.IsZero() {
		info.SelectedTime = s.ari.SelectedTime // chosen at random once, and kept
	}
	s.ari = info
	if err := a.storeRenewalInfo(ctx, s); err != nil {
		a.log.Debug("storing when to renew", zap.Error(err))
	}
}

func (a *authority) storeRenewalInfo(ctx context.Context, s *stored) error {
	if a.m.onlyLooks() {
		return nil // another certificate may be stored by now
	}
	res, meta, err := decodeMeta(s.Meta)
	if err != nil {
		return err
	}
	meta.RenewalInfo = &s.ari
	if s.Meta, err = encodeMeta(res, meta); err != nil {
		return err
	}
	return a.m.cfg.Storage.Store(ctx, certmagic.StorageKeys.SiteMeta(a.issuerKey, a.m.domain), s.Meta)
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
