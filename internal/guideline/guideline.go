// Package guideline is the TLS of Mozilla's server side guideline 6.0,
// "intermediate" (https://wiki.mozilla.org/Security/Server_Side_TLS): TLS 1.2 and
// 1.3, forward secret AEAD suites, and curves of which the first withstands quantum
// computers.
package guideline

import "crypto/tls"

// HSTS is the value of Strict-Transport-Security: two years. What is below the
// domain is not for us to promise, and lists in browsers cannot be left again.
const HSTS = "max-age=63072000"

// Apply sets versions, suites and curves of config. Go's own defaults still have
// CBC suites in TLS 1.2. The suites of TLS 1.3 are not for us to choose, and are
// all good. TLS 1.2 stays, since nobody has documented what Tesla fetches the key
// with.
func Apply(config *tls.Config) {
	config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS13
	config.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	config.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384}
}
