package testca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A Signer makes certificates by hand: a root, an intermediate below it, and
// leafs of every kind that a test may need. It is safe for concurrent use.
type Signer struct {
	root, intermediate authority
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// A LeafOptions says how a leaf differs from a good one. The zero value is a
// good one: valid since an hour, for 90 days, with its first name as common
// name, and with the intermediate after it.
type LeafOptions struct {
	NotBefore, NotAfter time.Time     // zero = the default
	SelfSigned          bool          // by its own key, not by the intermediate
	NoCommonName        bool          // an empty subject
	Incomplete          bool          // without the intermediate
	Client              bool          // for a client of TLS, not for a server
	Key                 crypto.Signer // nil = a new P-256 key
}

// A Leaf is a certificate with its chain and key.
type Leaf struct {
	CertPEM, KeyPEM []byte
	Certificate     tls.Certificate // the same, parsed, with Leaf set
}

// NewSigner makes a root and an intermediate that are valid for ten years.
func NewSigner() (*Signer, error) {
	s := new(Signer)
	for _, step := range []struct {
		name   string
		into   *authority
		parent *authority
	}{
		{"wellkey test root", &s.root, nil},
		{"wellkey test intermediate", &s.intermediate, &s.root},
	} {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{
			Subject:               pkix.Name{CommonName: step.name},
			NotBefore:             time.Now().AddDate(-5, 0, 0), // so that expired leafs still have a chain
			NotAfter:              time.Now().AddDate(5, 0, 0),
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
			BasicConstraintsValid: true,
			IsCA:                  true,
		}
		parent := step.parent
		if parent == nil {
			parent = &authority{cert: template, key: key}
		}
		cert, err := sign(template, *parent, key.Public())
		if err != nil {
			return nil, err
		}
		*step.into = authority{cert: cert, key: key}
	}
	return s, nil
}

// Roots returns the root as a pool.
func (s *Signer) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.root.cert)
	return pool
}

// RootsPEM returns the root as PEM.
func (s *Signer) RootsPEM() []byte { return encode(s.root.cert) }

// Issue makes a leaf for names: host names or IP addresses.
func (s *Signer) Issue(opts LeafOptions, names ...string) (*Leaf, error) {
	key := opts.Key
	if key == nil {
		var err error
		if key, err = newKey(); err != nil {
			return nil, err
		}
	}
	template := leafTemplate(opts, names)
	parent := s.intermediate
	if opts.SelfSigned {
		parent = authority{cert: template, key: key}
	}
	cert, err := sign(template, parent, key.Public())
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("marshaling a leaf's key: %w", err)
	}
	leaf := &Leaf{CertPEM: encode(cert), KeyPEM: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}
	if !opts.SelfSigned && !opts.Incomplete {
		leaf.CertPEM = append(leaf.CertPEM, encode(s.intermediate.cert)...)
	}
	leaf.Certificate, err = tls.X509KeyPair(leaf.CertPEM, leaf.KeyPEM)
	if err != nil {
		return nil, fmt.Errorf("pairing a leaf: %w", err)
	}
	return leaf, nil
}

func leafTemplate(opts LeafOptions, names []string) *x509.Certificate {
	template := &x509.Certificate{
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(0, 0, 90),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		CRLDistributionPoints: []string{"http://crl.invalid/"}, // as a CA would have it; nobody asks there
	}
	if opts.Client {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if !opts.NotBefore.IsZero() {
		template.NotBefore = opts.NotBefore
	}
	if !opts.NotAfter.IsZero() {
		template.NotAfter = opts.NotAfter
	}
	if !opts.NoCommonName && len(names) > 0 {
		template.Subject.CommonName = names[0]
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

// WriteFiles writes the chain to dir/tls.crt and the key to dir/tls.key, over
// what is there, and returns both paths.
func (l *Leaf) WriteFiles(dir string) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if err := os.WriteFile(certFile, l.CertPEM, 0o644); err != nil {
		return "", "", fmt.Errorf("writing a certificate: %w", err)
	}
	if err := os.WriteFile(keyFile, l.KeyPEM, 0o600); err != nil {
		return "", "", fmt.Errorf("writing a certificate's key: %w", err)
	}
	return certFile, keyFile, nil
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a key: %w", err)
	}
	return key, nil
}

// sign gives template a serial number and parent's signature.
func sign(template *x509.Certificate, parent authority, pub crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("choosing a serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, pub, parent.key)
	if err != nil {
		return nil, fmt.Errorf("signing a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

func encode(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}
