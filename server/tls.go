package server

import (
	"crypto/tls"
	"errors"
	"slices"

	"wellkey/internal/guideline"
)

// harden returns the configuration of the HTTPS listener: the certificates of
// source, everything else ours.
func harden(source *tls.Config) (*tls.Config, error) {
	if source == nil {
		return nil, errors.New("server: the certificates come without a TLS configuration")
	}
	if source.GetConfigForClient != nil {
		return nil, errors.New("server: GetConfigForClient would escape the TLS settings of the listener")
	}
	config := source.Clone()
	guideline.Apply(config)
	config.NextProtos = []string{"h2", "http/1.1"}
	for _, protocol := range source.NextProtos {
		if !slices.Contains(config.NextProtos, protocol) {
			config.NextProtos = append(config.NextProtos, protocol)
		}
	}
	return config, nil
}
