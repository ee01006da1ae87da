package webconfig_test

import (
	"crypto/ecdsa"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"

	"wellkey/internal/webconfig"
)

// FuzzWebConfig reads any file, which may name good ones and odd.pem beside it, which
// holds anything, too. One that is followed has TLS with a pair that fits, if it has any,
// and lets nobody in from afar without a password or a certificate where it asks for one.
// Any other is refused in lines that can be shown, and have nothing of a hash or a key.
func FuzzWebConfig(f *testing.F) {
	for _, web := range []string{
		"", "{}", "---\n---", "null", "\x00", "&a [*a]", "a: &a {<<: *a}", "basic_auth_users: {prometheus: HASH}", "basic_auth_users:\n  prometheus: HASH\n  prometheus: HASH\n",
		"basic_auth_users: {\"a\\e[2J:\": HASH, HASH: a}", "basic_auth_users: &a\n  x: HASH\nhttp_server_config: *a\n", "basic_auth_users:\n  a: !!null HASH\n  ? b\n",
		tlsPart, tlsPart + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [a]\nbasic_auth_users: {a: HASH}", tlsPart + "  client_auth_type: RequireAnyClientCert\n",
		tlsPart + "  min_version: TLS13\n  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  curve_preferences: [X25519]\n", tlsPart + "  cipher_suites: []\n  curve_preferences: []\n  min_version: TLS12\n",
		"tls_server_config: {cert_file: odd.pem, key_file: key.pem}", "tls_server_config: {cert_file: cert.pem, key_file: odd.pem}", "tls_server_config: {cert_file: odd.pem, key_file: odd.pem}", "tls_server_config: {cert_file: key.pem, key_file: cert.pem}",
		"tls_server_config: {cert_file: \"\\e[2J\\n\", key_file: \"\\u202e\"}", "tls_server_config: {cert_file: ., key_file: web.yml}", tlsPart + "  client_ca_file: odd.pem\n  client_auth_type: VerifyClientCertIfGiven\n",
		"http_server_config: {http2: false, headers: {X-Frame-Options: deny, Content-Security-Policy: \"a\\nb\", X-XSS-Protection: \"\u00e4\"}}", "http_server_config: {headers: [a]}\n\"\\e]0;x\": 1",
	} {
		for _, odd := range []string{"", "-----BEGIN \x1b[2J-----\n-----END \x1b[2J-----\n", "CERT", "KEY", "CERTKEY"} {
			f.Add(web, odd)
		}
	}
	w := newWorld(f)
	hash, cert, key := hash(f, password), read(f, filepath.Join(w.dir, "cert.pem")), read(f, filepath.Join(w.dir, "key.pem"))
	secrets := []string{hash[30:], strings.Split(key, "\n")[1]}
	path := filepath.Join(w.dir, "web.yml")
	f.Fuzz(func(t *testing.T, web, odd string) {
		for _, elsewhere := range []string{"/dev", "/proc", "/sys"} {
			if strings.Contains(web, elsewhere) {
				return // not the same at the next look
			}
		}
		web = strings.ReplaceAll(web, "HASH", hash)
		if err := os.WriteFile(path, []byte(web), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(w.dir, "odd.pem"), []byte(strings.NewReplacer("CERT", cert, "KEY", key).Replace(odd)), 0o600); err != nil {
			t.Fatal(err)
		}
		err := webconfig.Check(path)
		follower, again := webconfig.New(path, nil)
		if fmt.Sprint(err) != fmt.Sprint(again) {
			t.Fatalf("once %v, and then %v", err, again)
		}
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, path+":") || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || len(line) > 1000 {
					t.Fatalf("a line is %q", line)
				}
			}
			for _, secret := range secrets {
				if strings.Contains(err.Error(), secret) {
					t.Fatalf("it tells a secret: %v", err)
				}
			}
			return
		}
		if follower.TLSConfig() != nil {
			near, far := net.Pipe()
			config, err := follower.TLSConfig().GetConfigForClient(&tls.ClientHelloInfo{Conn: near})
			_, _ = near.Close(), far.Close() // a pipe
			if err != nil || config.MinVersion < tls.VersionTLS12 || !config.Certificates[0].PrivateKey.(*ecdsa.PrivateKey).PublicKey.Equal(config.Certificates[0].Leaf.PublicKey) {
				t.Fatalf("serves with %+v, %v", config, err)
			}
		}
		var said struct {
			TLS struct {
				Auth string `yaml:"client_auth_type"`
			} `yaml:"tls_server_config"`
			Users map[string]any `yaml:"basic_auth_users"`
		}
		if yaml.Unmarshal([]byte(web), &said) != nil {
			return // a tag, such as !!null 0, which is not looked at
		}
		want := http.StatusOK
		switch {
		case strings.HasPrefix(said.TLS.Auth, "Require"):
			want = http.StatusForbidden
		case len(said.Users) > 0:
			want = http.StatusUnauthorized
		}
		got := httptest.NewRecorder() // asked from 192.0.2.1
		follower.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if got.Code != want {
			t.Fatalf("a visitor with nothing gets %d, want %d", got.Code, want)
		}
	})
}
