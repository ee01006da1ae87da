// Package testsites lays sites into the storage of a wellkey that does not run: each
// with a key of its own and a certificate, as if it had been hosted before. What
// measures many sites, or a start with a stored certificate, begins with it.
package testsites

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"golang.org/x/sync/errgroup"

	"wellkey/internal/testca"
	"wellkey/internal/testworld"
)

// Domain returns the domain of the site with a number, from 0.
func Domain(n int) string { return fmt.Sprintf("s%06d.scale.example.com", n) }

// A Layer lays sites into the storage. They are not in the directory of sites yet.
type Layer struct {
	SitesDir string // made by New

	dataDir   string
	directory string // of the CA that the certificates are said to be from
	signer    *testca.Signer
	key       crypto.Signer // of all certificates: making one each would only take time
	laid      int
	issuer    string // its name in the storage
}

// New returns a Layer for the wellkey of a world with a CA. Its certificates are by a
// signer, whose roots the world must have been started with.
func New(w *testworld.World, dir string, signer *testca.Signer) (*Layer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	l := &Layer{dataDir: w.DataDir, SitesDir: filepath.Join(dir, "sites"), directory: w.CA.Directory(), signer: signer, key: key}
	l.issuer = (&certmagic.ACMEIssuer{CA: l.directory}).IssuerKey()
	return l, os.MkdirAll(l.SitesDir, 0o700)
}

// Lay makes sure that the first n sites are in the storage.
func (l *Layer) Lay(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for ; l.laid < n && ctx.Err() == nil; l.laid++ {
		domain := Domain(l.laid)
		group.Go(func() error { return l.layOne(domain, filepath.Join(l.dataDir, "sites", domain, "key.pem")) })
	}
	return group.Wait()
}

// LayAlone puts a domain into the storage that is the only one there.
func (l *Layer) LayAlone(domain string) error {
	return l.layOne(domain, filepath.Join(l.dataDir, "key.pem"))
}

// Files returns the paths of a domain's certificate, with its chain, and of the key of
// that.
func (l *Layer) Files(domain string) (certificate, key string) {
	state := filepath.Join(l.dataDir, "state")
	return filepath.Join(state, certmagic.StorageKeys.SiteCert(l.issuer, domain)), filepath.Join(state, certmagic.StorageKeys.SitePrivateKey(l.issuer, domain))
}

func (l *Layer) layOne(domain, keyFile string) error {
	leaf, err := l.signer.Issue(testca.LeafOptions{Key: l.key, NotAfter: time.Now().AddDate(4, 0, 0)}, domain)
	if err != nil {
		return err
	}
	said, err := json.Marshal(acme.Certificate{CA: l.directory})
	if err != nil {
		return err
	}
	meta, err := json.Marshal(certmagic.CertificateResource{SANs: []string{domain}, IssuerData: said})
	if err != nil {
		return err
	}
	key, err := privateKey()
	if err != nil {
		return err
	}
	state := filepath.Join(l.dataDir, "state")
	certFile, certKeyFile := l.Files(domain)
	for path, data := range map[string][]byte{
		certFile:    leaf.CertPEM,
		certKeyFile: leaf.KeyPEM,
		filepath.Join(state, certmagic.StorageKeys.SiteMeta(l.issuer, domain)): meta,
		filepath.Join(state, "issuance", l.issuer, domain+".json"):             fmt.Appendf(nil, `{"domain":%q}`, domain),
		keyFile: key,
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// privateKey returns a new key for vehicles, as openssl writes it.
func privateKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// List puts the file of a site into the directory, whole at once as tools do.
func (l *Layer) List(domain, text string) error {
	path := filepath.Join(l.SitesDir, domain+".yaml")
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
