package reach_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"
)

// An authority is a CA certificate with its key, where the signer of testca has
// no words for what a test needs.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// authority makes a CA below up, or a root.
func (w *world) authority(up *authority, notAfter time.Time) *authority {
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority until " + notAfter.Format(time.RFC3339)}, NotAfter: notAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return w.sign(template, up)
}

// leafOf makes a good leaf of up, with up's own certificate after it.
func (w *world) leafOf(up *authority) tls.Certificate {
	leaf := w.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain}, NotAfter: time.Now().AddDate(0, 0, 90),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, up)
	return tls.Certificate{Certificate: [][]byte{leaf.cert.Raw, up.cert.Raw}, PrivateKey: leaf.key}
}

func (w *world) sign(template *x509.Certificate, up *authority) *authority {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().AddDate(0, 0, -1)
	parent := &authority{cert: template, key: key}
	if up != nil {
		parent = up
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		w.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}
