package cli

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/caddyserver/certmagic"

	"wellkey/internal/config"
	"wellkey/server"
	"wellkey/server/certs"
)

// certificates is what all three sources of certificates have in common.
type certificates interface {
	server.Certificates
	Run(context.Context) error
	Status() certs.Status
}

// newCertificates returns the source of certificates that the settings name.
// addrs tells the addresses of the public listeners once they are bound, where
// the challenges of the CA arrive.
func newCertificates(s *config.Settings, store certmagic.Storage, registry prometheus.Registerer, log *zap.Logger, addrs func() *server.Server, onChange func()) (certificates, error) {
	switch s.TLS.Mode {
	case config.TLSFiles:
		return certs.NewFiles(certs.FilesConfig{
			Domain: s.Domain, CertFile: s.TLS.CertFile, KeyFile: s.TLS.KeyFile,
			Logger: log, Registerer: registry, OnChange: onChange,
		})
	case config.TLSOff:
		return certs.None{}, nil
	}
	c := certs.Config{
		Domain: s.Domain, Storage: store,
		Directory: s.ACME.Directory, Email: s.ACME.Email, Profile: s.ACME.Profile, Roots: s.ACME.Roots,
		AllowEphemeral: s.ACME.AllowEphemeral,
		Logger:         log, Registerer: registry, OnChange: onChange,
	}
	if s.ACME.EABKeyID != "" {
		c.EAB = &certs.EAB{KeyID: s.ACME.EABKeyID, MACKey: s.ACME.EABHMACKey}
	}
	if s.HTTPAddr != "" {
		c.HTTPAddr = func() string { return addrs().HTTPAddr() }
	}
	if s.HTTPSAddr != "" {
		c.TLSAddr = func() string { return addrs().HTTPSAddr() }
	}
	return certs.New(c)
}
