package webconfig

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"wellkey/internal/guideline"
	"wellkey/internal/phrase"
)

var clientAuths = map[string]tls.ClientAuthType{
	"NoClientCert":               tls.NoClientCert,
	"RequestClientCert":          tls.RequestClientCert,
	"RequireAnyClientCert":       tls.RequireAnyClientCert,
	"RequireClientCert":          tls.RequireAnyClientCert, // its older name
	"VerifyClientCertIfGiven":    tls.VerifyClientCertIfGiven,
	"RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
}

var versions = map[string]uint16{"TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13}

var curves = map[string]tls.CurveID{
	"CurveP256": tls.CurveP256, "CurveP384": tls.CurveP384, "CurveP521": tls.CurveP521, "X25519": tls.X25519, "X25519MLKEM768": tls.X25519MLKEM768,
}

// tlsServer returns the TLS that a file wants; nil with an error.
func (r *reader) tlsServer(key string, n *yaml.Node, http2 bool) *tls.Config {
	before := len(r.errs)
	out := &tls.Config{NextProtos: []string{"http/1.1"}}
	guideline.Apply(out)
	if http2 {
		out.NextProtos = []string{"h2", "http/1.1"}
	}
	var cert, private, ca []byte
	var sans []string
	inline := func(name string) func(string, *yaml.Node) {
		return func(key string, n *yaml.Node) {
			r.fail(n.Line, key, "is not taken in here, since secrets belong into files of their own; write it into a file and name that in "+name)
		}
	}
	r.mapping(n, key, map[string]func(string, *yaml.Node){
		"cert_file":           func(key string, n *yaml.Node) { cert = r.file(key, n) },
		"key_file":            func(key string, n *yaml.Node) { private = r.file(key, n) },
		"client_ca_file":      func(key string, n *yaml.Node) { ca = r.file(key, n) },
		"cert":                inline("cert_file"),
		"key":                 inline("key_file"),
		"client_ca":           inline("client_ca_file"),
		"client_auth_type":    func(key string, n *yaml.Node) { out.ClientAuth = choose(r, key, n, clientAuths) },
		"client_allowed_sans": func(key string, n *yaml.Node) { sans = r.list(key, n) },
		"min_version":         func(key string, n *yaml.Node) { out.MinVersion = choose(r, key, n, versions) },
		"max_version":         func(key string, n *yaml.Node) { out.MaxVersion = choose(r, key, n, versions) },
		"cipher_suites": func(key string, n *yaml.Node) {
			out.CipherSuites = nil
			for _, name := range r.list(key, n) {
				out.CipherSuites = append(out.CipherSuites, r.cipher(key, n, name))
			}
		},
		"curve_preferences": func(key string, n *yaml.Node) {
			out.CurvePreferences = nil
			for i := range r.list(key, n) {
				out.CurvePreferences = append(out.CurvePreferences, choose(r, key, n.Content[i], curves))
			}
		},
		"prefer_server_cipher_suites": func(key string, n *yaml.Node) { r.yes(key, n) }, // Go chooses by itself
	})
	if len(r.errs) > before {
		return nil
	}
	if err := finishTLS(out, cert, private, ca, sans); err != nil {
		r.fail(n.Line, key, err.Error())
		return nil
	}
	return out
}

// finishTLS takes in the files and checks that all fits together.
func finishTLS(out *tls.Config, cert, private, ca []byte, sans []string) error {
	if cert == nil || private == nil {
		return errors.New("needs both cert_file and key_file")
	}
	pair, err := tls.X509KeyPair(cert, private)
	if err != nil {
		// Its words may have some of the files', such as the kinds of their blocks.
		return fmt.Errorf("cert_file and key_file are not a certificate and its key: %s; give the chain, leaf first, and the unencrypted key, both in PEM", phrase.Quote(err.Error(), 300))
	}
	out.Certificates = []tls.Certificate{pair}
	if out.MinVersion > out.MaxVersion {
		return errors.New("min_version is above max_version")
	}
	if ca != nil {
		out.ClientCAs = x509.NewCertPool()
		if !out.ClientCAs.AppendCertsFromPEM(ca) {
			return errors.New("client_ca_file holds no certificate in PEM")
		}
	}
	verifies := out.ClientAuth == tls.VerifyClientCertIfGiven || out.ClientAuth == tls.RequireAndVerifyClientCert
	switch {
	case verifies && ca == nil:
		// Go would trust every public authority.
		return errors.New("client_auth_type verifies client certificates, so client_ca_file must say whose")
	case !verifies && ca != nil:
		return errors.New("client_ca_file is of no use, since client_auth_type verifies nothing; set it to RequireAndVerifyClientCert")
	case out.ClientAuth != tls.RequireAndVerifyClientCert && len(sans) > 0:
		return errors.New("client_allowed_sans needs client_auth_type RequireAndVerifyClientCert, since others could come without a certificate")
	}
	if len(sans) > 0 {
		out.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || slices.ContainsFunc(namesOf(s.PeerCertificates[0]), func(name string) bool { return slices.Contains(sans, name) }) {
				return nil // without a certificate the handler decides
			}
			return errors.New("none of the client certificate's names is in client_allowed_sans")
		}
	}
	return nil
}

// namesOf returns all subject alternative names of a certificate.
func namesOf(c *x509.Certificate) []string {
	names := slices.Concat(c.DNSNames, c.EmailAddresses)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	return names
}

// choose returns what a word stands for.
func choose[T any](r *reader, key string, n *yaml.Node, choices map[string]T) T {
	value, ok := choices[r.text(key, n)]
	if !ok {
		var words []string
		for word := range choices {
			words = append(words, word)
		}
		slices.Sort(words)
		r.fail(n.Line, key, "is none of "+strings.Join(words, ", "))
	}
	return value
}

func (r *reader) cipher(key string, n *yaml.Node, name string) uint16 {
	for _, suite := range tls.CipherSuites() {
		if suite.Name == name {
			return suite.ID
		}
	}
	r.fail(n.Line, key, cut(name)+" is no cipher suite that Go holds to be secure, such as TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
	return 0
}

// leafOf returns the certificate that a file has for the listener.
func leafOf(c *tls.Config) []byte { return c.Certificates[0].Certificate[0] }

func isLeaf(c *tls.Config, s tls.ConnectionState) bool {
	return len(s.PeerCertificates) > 0 && bytes.Equal(s.PeerCertificates[0].Raw, leafOf(c))
}
