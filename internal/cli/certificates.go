package cli

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/skew"
	"wellkey/internal/storage"
	"wellkey/server"
	"wellkey/server/certs"
)

// certificates is what all three sources of certificates have in common.
type certificates interface {
	server.Certificates
	Run(context.Context) error
	// Add and Remove say for which domains certificates are wanted.
	Add(domain string)
	Remove(domain string)
	// Has reports whether TLS is served for a domain, by us or by a proxy in front.
	Has(domain string) bool
	Status(domain string) certs.Status
}

// newCertificates returns the source of certificates that the settings name.
// addrs tells the addresses of the public listeners once they are bound, where
// the challenges of the CA arrive; tesla compares our clock with Tesla's.
func newCertificates(s *config.Settings, store *storage.Store, tesla *skew.Clock, registry prometheus.Registerer, log *zap.Logger, addrs func() *server.Server, onChange, missing func(domain string)) (certificates, error) {
	common := certs.Common{Logger: log, Registerer: registry, OnChange: onChange}
	switch s.TLS.Mode {
	case config.TLSFiles:
		return certs.NewFiles(certs.FilesConfig{
			Domain: s.Domain, CertFile: s.TLS.CertFile, KeyFile: s.TLS.KeyFile,
			Common: common,
		})
	case config.TLSOff:
		return certs.None{}, nil
	}
	c := certs.Config{
		Storage: store, Shared: store.IsShared(),
		Directory: s.ACME.Directory, Email: s.ACME.Email, Profile: s.ACME.Profile, Roots: s.ACME.Roots,
		AllowEphemeral: s.ACME.AllowEphemeral,
		Missing:        missing,
		ClockOffset:    tesla.Ahead,
		Common:         common,
	}
	c.EAB = binding(s.ACME.Authority)
	if f := s.ACME.Fallback; f.Directory != "" {
		c.Fallback = &certs.FallbackCA{Directory: f.Directory, EAB: binding(f), After: s.ACME.FallbackAfter}
	}
	if s.HTTPAddr != "" {
		c.HTTPAddr = func() string { return addrs().HTTPAddr() }
	}
	if s.HTTPSAddr != "" {
		c.TLSAddr = func() string { return addrs().HTTPSAddr() }
	}
	var err error
	if c.DNS, err = newDNSSolver(s, log); err != nil {
		return nil, err
	}
	return certs.New(c)
}

// binding returns the external account binding at an authority; nil = none.
func binding(a config.Authority) *certs.EAB {
	if a.EABKeyID == "" {
		return nil
	}
	return &certs.EAB{KeyID: a.EABKeyID, MACKey: a.EABHMACKey}
}
