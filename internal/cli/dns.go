package cli

import (
	"github.com/mholt/acmez/v3"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/registrar/reach"
	"wellkey/server/certs/dns01"
)

// newDNSSolver returns what proves the domain by a DNS record; nil = nothing, as
// the CA comes to our listeners.
func newDNSSolver(s *config.Settings, log *zap.Logger) (acmez.Solver, error) {
	provider, err := newDNSProvider(s.DNS)
	if provider == nil || err != nil {
		return nil, err
	}
	resolvers := s.DNS.Resolvers
	if len(resolvers) == 0 {
		resolvers = s.Probe.Resolvers
	}
	if len(resolvers) == 0 {
		resolvers = reach.PublicResolvers()
	}
	return dns01.New(dns01.Config{
		Provider: provider, Resolvers: resolvers,
		Timeout: s.DNS.Timeout, Delay: s.DNS.Delay, Logger: log.Named("certs"),
	})
}

// challengeOf says where the record that proves the domain is put, for the look from
// outside.
func challengeOf(s *config.Settings) reach.Challenge {
	c := reach.Challenge{Known: true, Provider: s.DNS.Provider}
	switch c.Provider {
	case "rfc2136":
		c.Zone = s.DNS.RFC2136.Zone
	case "acme-dns":
		target, err := dns01.ACMEDNSTarget(dns01.ACMEDNS{URL: s.DNS.ACMEDNSURL, AccountFile: s.DNS.ACMEDNSAccountFile}, s.Domain)
		c.Target, c.Keeps = target, true
		if err != nil {
			c.Fault = err.Error()
		}
	}
	return c
}

// newDNSProvider returns the provider that the settings name; nil = none.
func newDNSProvider(s config.DNS) (dns01.Provider, error) {
	switch s.Provider {
	case "rfc2136":
		return dns01.NewRFC2136(dns01.RFC2136{
			Server: s.RFC2136.Server, Zone: s.RFC2136.Zone,
			Name: s.RFC2136.KeyName, Algorithm: s.RFC2136.Algorithm, Secret: s.RFC2136.Secret,
		})
	case "acme-dns":
		return dns01.NewACMEDNS(dns01.ACMEDNS{URL: s.ACMEDNSURL, AccountFile: s.ACMEDNSAccountFile}), nil
	case "cloudflare":
		return dns01.NewCloudflare(dns01.Cloudflare{Token: s.CloudflareToken}), nil
	case "httpreq":
		return dns01.NewHTTPReq(dns01.HTTPReq{URL: s.HTTPReqURL, Username: s.HTTPReqUsername, Password: s.HTTPReqPassword}), nil
	case "exec":
		return dns01.NewExec(dns01.Exec{Program: s.ExecProgram}), nil
	}
	return nil, nil
}
