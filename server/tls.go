package server

import (
	"crypto/tls"
	"errors"
	"slices"
)

// suites are the TLS 1.2 cipher suites: forward secret and AEAD only, as in
// Mozilla's intermediate guideline. Go's own default still offers CBC suites.
// The suites of TLS 1.3 are not for us to choose, and all of this kind.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// curves are those of the same guideline.
var curves = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384}

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
	// TLS 1.2, since nobody has documented what Tesla fetches the key with.
	config.MinVersion = tls.VersionTLS12
	config.MaxVersion = 0
	config.CipherSuites = slices.Clone(suites)
	config.CurvePreferences = slices.Clone(curves)
	config.NextProtos = []string{"h2", "http/1.1"}
	for _, protocol := range source.NextProtos {
		if !slices.Contains(config.NextProtos, protocol) {
			config.NextProtos = append(config.NextProtos, protocol)
		}
	}
	return config, nil
}
