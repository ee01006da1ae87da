package webconfig_test

import (
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"wellkey/internal/webconfig"
)

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestFaults: what is wrong is told with its place, its key and the fix.
func TestFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("other-key.pem", string(w.leaf("x.example").KeyPEM))
	slow, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	costly := strings.Replace(string(slow), "$04$", "$17$", 1)
	for _, row := range []struct{ name, web, want string }{
		{"an unknown key", "tls_config: {}", "web.yml:1: tls_config: is not known here; known are basic_auth_users, http_server_config, tls_server_config"},
		{"an unknown key of TLS", "tls_server_config:\n  certfile: x", "web.yml:2: tls_server_config.certfile: is not known here; known are cert, cert_file"},
		{"the limits of the format", "rate_limit: {burst: 1}", "web.yml:1: rate_limit: is not known here"},
		{"twice", "basic_auth_users: {}\nbasic_auth_users: {}", "web.yml:2: basic_auth_users: is there twice; remove one of the two"},
		{"a list", "- basic_auth_users", "web.yml:1: is no mapping of keys to values; write each as key: value"},
		{"no YAML", "basic_auth_users: [", "web.yml: is not YAML, at or near line 1; look for"},
		{"two documents", "basic_auth_users: {}\n---\nx: y", "web.yml: holds more than one document"},
		{"a text for users", "basic_auth_users: prometheus", "web.yml:1: basic_auth_users: is no mapping"},
		{"no hash", "basic_auth_users:\n  prometheus: secret", "web.yml:2: basic_auth_users.prometheus: has no bcrypt hash of a password, which begins with $2y$ or $2b$; make one with: htpasswd -nBC 10 prometheus"},
		{"a list of hashes", "basic_auth_users:\n  prometheus: [a]", "web.yml:2: basic_auth_users.prometheus: is no single value"},
		{"a costly hash", "basic_auth_users:\n  prometheus: " + costly, "web.yml:2: basic_auth_users.prometheus: has a hash of cost 17, which strangers could use to keep this machine busy; make one of cost 10"},
		{"a user with a colon", "basic_auth_users:\n  \"a:b\": HASH", "web.yml:2: basic_auth_users.a:b: is no user name"},
		{"TLS without files", "tls_server_config:\n  min_version: TLS12", "web.yml:2: tls_server_config: needs both cert_file and key_file"},
		{"a file that is not there", "tls_server_config:\n  cert_file: missing.pem\n  key_file: key.pem", "web.yml: tls_server_config.cert_file: cannot be read: "},
		{"another key", "tls_server_config:\n  cert_file: cert.pem\n  key_file: other-key.pem", "web.yml:2: tls_server_config: cert_file and key_file are not a certificate and its key"},
		{"an inline key", "tls_server_config:\n  key: |\n    xx", "web.yml:2: tls_server_config.key: is not taken in here, since secrets belong into files of their own; write it into a file and name that in key_file"},
		{"an old version", tlsPart + "  min_version: TLS10", "web.yml:4: tls_server_config.min_version: is none of TLS12, TLS13"},
		{"versions that exclude all", tlsPart + "  min_version: TLS13\n  max_version: TLS12", "min_version is above max_version"},
		{"an unknown type", tlsPart + "  client_auth_type: Yes", "web.yml:4: tls_server_config.client_auth_type: is none of NoClientCert, RequestClientCert, RequireAndVerifyClientCert"},
		{"an unknown curve", tlsPart + "  curve_preferences: [P256]", "web.yml:4: tls_server_config.curve_preferences: is none of CurveP256"},
		{"a weak suite", tlsPart + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]", "web.yml:4: tls_server_config.cipher_suites: TLS_RSA_WITH_RC4_128_SHA is no cipher suite that Go holds to be secure"},
		{"a suite that is no list", tlsPart + "  cipher_suites: x", "is no list; write each item on a line of its own"},
		{"whom to trust is missing", tlsPart + "  client_auth_type: RequireAndVerifyClientCert", "so client_ca_file must say whose"},
		{"whom to trust is of no use", tlsPart + "  client_ca_file: ca.pem", "client_ca_file is of no use, since client_auth_type verifies nothing; set it to RequireAndVerifyClientCert"},
		{"whom to trust is nobody", tlsPart + "  client_ca_file: key.pem\n  client_auth_type: RequireAndVerifyClientCert", "client_ca_file holds no certificate in PEM"},
		{"names without certificates", tlsPart + "  client_allowed_sans: [a]", "client_allowed_sans needs client_auth_type RequireAndVerifyClientCert"},
		{"neither true nor false", "http_server_config:\n  http2: maybe", "web.yml:2: http_server_config.http2: is neither true nor false"},
		{"another header field", "http_server_config:\n  headers:\n    Server: x", "web.yml:3: http_server_config.headers.Server: may not be set here"},
		{"another value", "http_server_config:\n  headers:\n    X-Frame-Options: allow", "http_server_config.headers.X-Frame-Options: has another value than deny or sameorigin"},
		{"a line break", "http_server_config:\n  headers:\n    Content-Security-Policy: \"a\\nb\"", "holds a line break"},
	} {
		path := w.web(row.web)
		err := webconfig.Check(path)
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), w.dir+"/", ""), row.want) {
			t.Errorf("%s: got %v, want %s", row.name, err, row.want)
		}
		if _, err := webconfig.New(path, nil); err == nil {
			t.Errorf("%s: is followed", row.name)
		}
	}
	if err := webconfig.Check(filepath.Join(w.dir, "missing.yml")); err == nil || !strings.Contains(err.Error(), "missing.yml: cannot be read: ") {
		t.Errorf("no such file: %v", err)
	}
	if err := errors.Join(syscall.Mkfifo(filepath.Join(w.dir, "pipe.pem"), 0o600), os.WriteFile(filepath.Join(w.dir, "endless.pem"), nil, 0o600),
		os.Truncate(filepath.Join(w.dir, "endless.pem"), 1<<40)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"pipe.pem": "cannot be read: is not a regular file; check the path", "endless.pem": "cannot be read: is too large: 1048576 bytes are allowed"} {
		if err := webconfig.Check(filepath.Join(w.dir, file)); err == nil || !strings.Contains(err.Error(), file+": "+want) {
			t.Errorf("%s as the file: %v", file, err)
		}
		if err := webconfig.Check(w.web("tls_server_config:\n  cert_file: cert.pem\n  key_file: " + file)); err == nil || !strings.Contains(err.Error(), "tls_server_config.key_file: "+want) {
			t.Errorf("%s as the key: %v", file, err)
		}
	}
	for _, web := range []string{"", "# nothing\n", "{}\n", "tls_server_config:\nbasic_auth_users:\n"} {
		if err := webconfig.Check(w.web(web)); err != nil {
			t.Errorf("%q: %v", web, err)
		}
	}
}

// TestNothingSecretIsTold: whatever is wrong with a file, its hashes and keys are
// in no message.
func TestNothingSecretIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const canary = "$2y$1x$Canary7f3aCanary7f3aCanary7f3aCanary7f3aCanary7f3aCana"
	for _, web := range []string{
		"basic_auth_users:\n  prometheus: " + canary,
		"basic_auth_users:\n  prometheus: '" + canary,
		"basic_auth_users:\n  prometheus: [" + canary,
		"basic_auth_users:\n  " + canary + ": x",
		"basic_auth_users:\n  prometheus:" + canary,
		"basic_auth_users: " + canary,
		canary,
		canary + ": x",
		"x: *" + canary[7:17],
		"basic_auth_users:\n  prometheus: !" + canary + " x",
		"tls_server_config:\n  key: " + canary,
		"tls_server_config:\n  cipher_suites: [" + canary + "]",
		"tls_server_config:\n  min_version: " + canary,
		"http_server_config:\n  headers:\n    " + canary + ": x",
	} {
		if err := webconfig.Check(w.web(web)); err == nil || strings.Contains(err.Error(), "Canary7f3aCanary") {
			t.Errorf("%q: got %v", web, err)
		}
	}
}
