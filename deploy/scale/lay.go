package main

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

// domainOf returns the domain of the site with a number, from 0.
func domainOf(n int) string { return fmt.Sprintf("s%06d.scale.example.com", n) }

// A layer lays sites into the storage of a wellkey that does not run: each with a
// key of its own and a certificate, as if it had been hosted before. The sites are
// not in the directory of sites yet.
type layer struct {
	dataDir, sitesDir string
	directory         string // of the CA that the certificates are said to be from
	signer            *testca.Signer
	key               crypto.Signer // of all certificates: making one each would only take time
	laid              int
	issuer            string // its name in the storage
}

func newLayer(w *testworld.World, dir string, signer *testca.Signer) (*layer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	l := &layer{dataDir: w.DataDir, sitesDir: filepath.Join(dir, "sites"), directory: w.CA.Directory(), signer: signer, key: key}
	l.issuer = (&certmagic.ACMEIssuer{CA: l.directory}).IssuerKey()
	return l, os.MkdirAll(l.sitesDir, 0o700)
}

// lay makes sure that the first n sites are in the storage.
func (l *layer) lay(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.NumCPU())
	for ; l.laid < n && ctx.Err() == nil; l.laid++ {
		domain := domainOf(l.laid)
		group.Go(func() error { return l.layOne(domain) })
	}
	return group.Wait()
}

func (l *layer) layOne(domain string) error {
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
	for path, data := range map[string][]byte{
		filepath.Join(state, certmagic.StorageKeys.SiteCert(l.issuer, domain)):       leaf.CertPEM,
		filepath.Join(state, certmagic.StorageKeys.SitePrivateKey(l.issuer, domain)): leaf.KeyPEM,
		filepath.Join(state, certmagic.StorageKeys.SiteMeta(l.issuer, domain)):       meta,
		filepath.Join(state, "issuance", l.issuer, domain+".json"):                   fmt.Appendf(nil, `{"domain":%q}`, domain),
		filepath.Join(l.dataDir, "sites", domain, "key.pem"):                         key,
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

// list puts the file of a site into the directory, whole at once as tools do.
func (l *layer) list(domain, text string) error {
	path := filepath.Join(l.sitesDir, domain+".yaml")
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
