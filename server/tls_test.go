package server_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"

	"wellkey/server"
)

func dial(addr string, roots *x509.CertPool, change func(*tls.Config)) (tls.ConnectionState, error) {
	config := &tls.Config{RootCAs: roots, ServerName: domain}
	change(config)
	conn, err := tls.Dial("tcp", addr, config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState(), nil
}

// Every suite that Go knows is tried alone, with a certificate that suits it.
func TestOnlyAEADSuites(t *testing.T) {
	want := []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	var got []uint16
	for _, key := range []crypto.Signer{ecdsaKey(t), rsaKey(t)} {
		config, _ := configure(t)
		certs := newCertificates(t, key)
		config.Certificates = certs
		s := start(t, config)
		for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			if slices.Contains(suite.SupportedVersions, tls.VersionTLS13) {
				continue
			}
			state, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) {
				c.MaxVersion = tls.VersionTLS12
				c.CipherSuites = []uint16{suite.ID}
			})
			if err == nil {
				got = append(got, state.CipherSuite)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("accepted suites %x, want %x", got, want)
	}
}

func TestVersions(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	for version, ok := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		_, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		if (err == nil) != ok {
			t.Errorf("%s: got %v, want accepted: %v", tls.VersionName(version), err, ok)
		}
	}
}

func TestCurves(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	for curve, ok := range map[tls.CurveID]bool{
		tls.X25519MLKEM768: true, tls.X25519: true, tls.CurveP256: true, tls.CurveP384: true, tls.CurveP521: false,
	} {
		_, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{curve} })
		if (err == nil) != ok {
			t.Errorf("%s: got %v, want accepted: %v", curve, err, ok)
		}
	}
}

func TestProtocols(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	for _, tc := range []struct {
		name  string
		offer []string
		want  string
		fails bool
	}{
		{"none", nil, "", false},
		{"h2 first", []string{"http/1.1", "h2"}, "h2", false},
		{"http/1.1", []string{"http/1.1"}, "http/1.1", false},
		{"challenge", []string{"acme-tls/1"}, "acme-tls/1", false},
		{"unknown", []string{"h9"}, "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			state, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) { c.NextProtos = tc.offer })
			if (err != nil) != tc.fails || state.NegotiatedProtocol != tc.want {
				t.Errorf("got %q, %v; want %q", state.NegotiatedProtocol, err, tc.want)
			}
		})
	}
}

// A client that comes back resumes its session.
func TestResumes(t *testing.T) {
	config, certs := configure(t)
	s := start(t, config)
	cache := tls.NewLRUClientSessionCache(1)
	for _, want := range []bool{false, true} {
		state, err := dial(s.HTTPSAddr(), certs.roots, func(c *tls.Config) {
			c.MaxVersion = tls.VersionTLS12 // its ticket comes within the handshake
			c.ClientSessionCache = cache
		})
		must(t, err)
		if state.DidResume != want {
			t.Errorf("resumed: %v, want %v", state.DidResume, want)
		}
	}
}

// tryTLS makes a handshake that is expected to fail.
func tryTLS(s *server.Server, certs *certificates, change func(*tls.Config)) {
	_, _ = dial(s.HTTPSAddr(), certs.roots, change)
}
