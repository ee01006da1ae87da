package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
	"unique"
)

const (
	// readTimeout is how long a handshake waits for a certificate that is to be
	// read from the storage.
	readTimeout = 5 * time.Second

	// readAgain is how long a failure to read one counts.
	readAgain = time.Second

	// mostReaders is how many handshakes wait for that at a time. Whose connection has lost
	// its place waits on, so that more would have memory without bound.
	mostReaders = 256
)

// A served is what is known of the certificate that is served for a domain,
// whether it is in memory or not.
type served struct {
	notBefore, notAfter time.Time
	issuer, serial      string // as in a Status
	from                string // certmagic's name of the CA under which it is stored
	sum                 [sha256.Size]byte
}

// errNone is that there is nothing to be served.
var errNone = errors.New("there is no certificate yet")

// errReaders is that too many handshakes wait for the storage.
var errReaders = errors.New("no certificate in memory, and too many handshakes wait for the storage")

// serve makes the certificate of s the one that is served, and reports whether it
// is another.
func (m *subject) serve(s stored) bool {
	leaf := s.cert.Leaf
	now := &served{leaf.NotBefore, leaf.NotAfter, unique.Make(issuerName(leaf)).Value(), serial(leaf), s.Issuer, sha256.Sum256(leaf.Raw)}
	was := m.served.Load()
	other := was == nil || was.sum != now.sum
	if other {
		m.served.Store(now)
	}
	if other || m.current.Load() == nil {
		m.all.certs.put(m, m.slimKept(s.cert), m.current.Load() != nil || m.hasUnsaved())
	}
	return other
}

func (m *subject) hasUnsaved() bool {
	for _, a := range m.authorities {
		if a.unsaved != nil {
			return true
		}
	}
	return false
}

// get returns the certificate for a handshake, which is mostly in memory.
func (m *subject) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if cert := m.current.Load(); cert != nil {
		if !m.used.Load() { // else the processors would take the line from each other
			m.used.Store(true)
		}
		return cert, nil
	}
	if m.looked.Load() && m.served.Load() == nil {
		return nil, errNone
	}
	select {
	case m.all.readers <- struct{}{}:
		defer func() { <-m.all.readers }()
	default:
		return nil, errReaders
	}
	ctx, cancel := context.WithTimeout(hello.Context(), readTimeout)
	defer cancel()
	return m.read(ctx)
}

// read reads the certificate from the storage, once for all who want it at the
// same time.
func (m *subject) read(ctx context.Context) (*tls.Certificate, error) {
	m.reading.Lock()
	defer m.reading.Unlock()
	if cert := m.current.Load(); cert != nil {
		return cert, nil
	}
	if m.readErr != nil && time.Since(m.readAt) < readAgain {
		return nil, m.readErr
	}
	cert, err := m.readStored(ctx)
	m.readErr, m.readAt = err, time.Now()
	if err != nil {
		return nil, err
	}
	m.used.Store(true)
	cert = m.slim(cert)
	m.all.certs.put(m, cert, true)
	return cert, nil
}

// readStored reads what is known to be served, or, before the first step, the best
// there is. It only looks.
func (m *subject) readStored(ctx context.Context) (best *tls.Certificate, err error) {
	var issuers []string
	known := m.served.Load()
	if known != nil {
		issuers = append(issuers, known.from)
	}
	for _, ca := range m.all.cas {
		issuers = append(issuers, ca.issuerKey)
	}
	for _, issuer := range issuers {
		res, loadErr := loadResource(ctx, m.cfg.Storage.Load, issuer, m.domain)
		if loadErr != nil {
			err = fmt.Errorf("reading the certificate: %w", loadErr)
			continue
		}
		cert, pairErr := res.pair(m.domain)
		if pairErr != nil {
			continue // none, or what the next step mends
		}
		if known != nil && sha256.Sum256(cert.Leaf.Raw) == known.sum {
			return cert, nil
		}
		if m.better(cert, best) {
			best = cert
		}
	}
	if best != nil {
		return best, nil
	}
	if err == nil {
		err = errNone
	}
	return nil, err
}

// serving says what becomes of visitors meanwhile.
func (m *subject) serving() string {
	s := m.served.Load()
	switch {
	case s == nil:
		return "no certificate"
	case m.cfg.Now().After(s.notAfter):
		return "an expired certificate"
	}
	return "the certificate at hand"
}
