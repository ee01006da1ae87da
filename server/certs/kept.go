package certs

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"encoding/pem"
	"sync"

	"github.com/caddyserver/certmagic"
)

// A kept is a certificate with what is stored beside it, as it is in memory. It
// never changes.
type kept struct {
	issuer string
	cert   *tls.Certificate // slim
	meta   []byte
}

// keep returns a certificate as it is to be kept.
func (m *subject) keep(r resource, cert *tls.Certificate) *kept {
	return &kept{r.Issuer, m.slim(cert), bytes.Clone(r.Meta)}
}

// resource returns what is to be stored. The encoding may be another one than that
// which was read.
func (k *kept) resource() (r resource, err error) {
	r.Issuer, r.Meta = k.issuer, k.meta
	for _, der := range k.cert.Certificate {
		r.CertPEM = append(r.CertPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	r.KeyPEM, err = certmagic.PEMEncodePrivateKey(k.cert.PrivateKey.(crypto.Signer)) // crypto/tls would not have taken another
	return r, err
}

// slim returns cert as a handshake needs it, without what was parsed of it, which
// is several times as large; where it is in memory already, that one.
func (m *subject) slim(cert *tls.Certificate) *tls.Certificate {
	if current := m.current.Load(); current != nil && bytes.Equal(current.Certificate[0], cert.Certificate[0]) {
		return current
	}
	slim := &tls.Certificate{Certificate: make([][]byte, len(cert.Certificate)), PrivateKey: cert.PrivateKey}
	slim.Certificate[0] = bytes.Clone(cert.Certificate[0])
	for i, der := range cert.Certificate[1:] {
		slim.Certificate[1+i] = m.all.certs.chains.share(der)
	}
	return slim
}

// slimKept is slim for a step, which may have kept the certificate just now.
func (m *subject) slimKept(cert *tls.Certificate) *tls.Certificate {
	for _, a := range m.authorities {
		if a.held != nil && bytes.Equal(a.held.cert.Certificate[0], cert.Certificate[0]) {
			return a.held.cert
		}
	}
	return m.slim(cert)
}

// chains are the certificates of authorities. Most domains have the same ones.
type chains struct {
	mu  sync.Mutex
	all map[string][]byte // guarded by mu
}

// mostChains is more than the intermediates that a CA has in use.
const mostChains = 64

// share returns a certificate of the same content, which others have, too.
func (c *chains) share(der []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.all[string(der)]; ok {
		return known
	}
	if c.all == nil || len(c.all) >= mostChains {
		c.all = map[string][]byte{} // whoever has one keeps it
	}
	der = bytes.Clone(der)
	c.all[string(der)] = der
	return der
}
