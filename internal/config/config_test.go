package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"wellkey/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// inputs are what a user gives. $DIR in any text is a directory with files, and
// $ROOT a certificate in PEM.
type inputs struct {
	args  []string
	env   []string
	yaml  string            // the file named by --config, if not empty
	files map[string]string // other files in $DIR
}

// load loads in in a fresh directory, whose name is replaced by $DIR in errors
// and warnings.
func load(t *testing.T, in inputs) (*config.Settings, []string) {
	t.Helper()
	dir := t.TempDir()
	fill := func(s string) string {
		if strings.Contains(s, "$ROOT") {
			s = strings.ReplaceAll(s, "$ROOT", rootPEM(t))
		}
		return strings.ReplaceAll(s, "$DIR", dir)
	}
	for name, text := range in.files {
		write(t, filepath.Join(dir, name), fill(text))
	}
	env := []string{"HOME=/home/user", "PATH=/bin"}
	for _, entry := range in.env {
		env = append(env, fill(entry))
	}
	var args []string
	if in.yaml != "" {
		write(t, filepath.Join(dir, "wellkey.yaml"), fill(in.yaml))
		args = append(args, "--config="+filepath.Join(dir, "wellkey.yaml"))
	}
	for _, arg := range in.args {
		args = append(args, fill(arg))
	}
	loader := config.New(env)
	flags := pflag.NewFlagSet("wellkey", pflag.ContinueOnError)
	loader.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return nil, []string{config.FlagError(err, flags).Error()}
	}
	settings, err := loader.Load()
	if err == nil {
		for i, warning := range settings.Warnings {
			settings.Warnings[i] = strings.ReplaceAll(warning, dir, "$DIR")
		}
		return settings, nil
	}
	if settings != nil {
		t.Error("Load gave settings together with an error")
	}
	return nil, strings.Split(strings.ReplaceAll(err.Error(), dir, "$DIR"), "\n")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// must loads settings that are right.
func must(t *testing.T, in inputs) *config.Settings {
	t.Helper()
	settings, faults := load(t, in)
	if faults != nil {
		t.Fatalf("faults:\n%s", strings.Join(faults, "\n"))
	}
	return settings
}

// got is how the value of a setting is seen in Settings.
var got = map[string]func(*config.Settings) any{
	"domain":                          func(s *config.Settings) any { return s.Domain },
	"client_id":                       func(s *config.Settings) any { return s.Application.ClientID },
	"client_id_file":                  func(s *config.Settings) any { return s.Application.ClientIDFile },
	"client_secret":                   func(s *config.Settings) any { return s.Application.ClientSecret.Reveal() },
	"client_secret_file":              func(s *config.Settings) any { return s.Application.ClientSecretFile },
	"credentials_file":                func(s *config.Settings) any { return s.Application.CredentialsFile },
	"regions":                         func(s *config.Settings) any { return s.Regions },
	"key_file":                        func(s *config.Settings) any { return s.KeyFile },
	"accept_key":                      func(s *config.Settings) any { return s.AcceptKey },
	"data_dir":                        func(s *config.Settings) any { return s.DataDir },
	"storage":                         func(s *config.Settings) any { return s.Storage.URL },
	"storage_file":                    func(s *config.Settings) any { return s.Storage.URL + s.Storage.Password.Reveal() },
	"storage_password":                func(s *config.Settings) any { return s.Storage.Password.Reveal() },
	"storage_password_file":           func(s *config.Settings) any { return s.Storage.Password.Reveal() },
	"storage_roots":                   func(s *config.Settings) any { return filepath.Base(s.Storage.RootsFile) },
	"storage_key_file":                func(s *config.Settings) any { return s.Storage.Keys.Reveal() },
	"http_addr":                       func(s *config.Settings) any { return s.HTTPAddr },
	"https_addr":                      func(s *config.Settings) any { return s.HTTPSAddr },
	"admin_addr":                      func(s *config.Settings) any { return s.AdminAddr },
	"hsts":                            func(s *config.Settings) any { return s.HSTS },
	"landlock":                        func(s *config.Settings) any { return s.Landlock },
	"admin_web_config":                func(s *config.Settings) any { return filepath.Base(s.AdminWebConfig) },
	"tls":                             func(s *config.Settings) any { return s.TLS.Mode },
	"tls_cert_file":                   func(s *config.Settings) any { return s.TLS.CertFile },
	"tls_key_file":                    func(s *config.Settings) any { return s.TLS.KeyFile },
	"acme_directory":                  func(s *config.Settings) any { return s.ACME.Directory },
	"acme_email":                      func(s *config.Settings) any { return s.ACME.Email },
	"acme_profile":                    func(s *config.Settings) any { return s.ACME.Profile },
	"acme_roots":                      func(s *config.Settings) any { return filepath.Base(s.ACME.RootsFile) },
	"acme_eab_key_id":                 func(s *config.Settings) any { return s.ACME.EABKeyID },
	"acme_eab_hmac_key":               func(s *config.Settings) any { return s.ACME.EABHMACKey.Reveal() },
	"acme_eab_hmac_key_file":          func(s *config.Settings) any { return s.ACME.EABHMACKey.Reveal() },
	"acme_fallback_directory":         func(s *config.Settings) any { return s.ACME.Fallback.Directory },
	"acme_fallback_after":             func(s *config.Settings) any { return s.ACME.FallbackAfter },
	"acme_fallback_eab_key_id":        func(s *config.Settings) any { return s.ACME.Fallback.EABKeyID },
	"acme_fallback_eab_hmac_key":      func(s *config.Settings) any { return s.ACME.Fallback.EABHMACKey.Reveal() },
	"acme_fallback_eab_hmac_key_file": func(s *config.Settings) any { return s.ACME.Fallback.EABHMACKey.Reveal() },
	"dns_provider":                    func(s *config.Settings) any { return s.DNS.Provider },
	"dns_rfc2136_server":              func(s *config.Settings) any { return s.DNS.RFC2136.Server },
	"dns_rfc2136_zone":                func(s *config.Settings) any { return s.DNS.RFC2136.Zone },
	"dns_rfc2136_tsig_name":           func(s *config.Settings) any { return s.DNS.RFC2136.KeyName },
	"dns_rfc2136_tsig_algorithm":      func(s *config.Settings) any { return s.DNS.RFC2136.Algorithm },
	"dns_rfc2136_tsig_secret":         func(s *config.Settings) any { return s.DNS.RFC2136.Secret.Reveal() },
	"dns_rfc2136_tsig_secret_file":    func(s *config.Settings) any { return s.DNS.RFC2136.Secret.Reveal() },
	"dns_acmedns_url":                 func(s *config.Settings) any { return s.DNS.ACMEDNSURL },
	"dns_acmedns_account_file":        func(s *config.Settings) any { return s.DNS.ACMEDNSAccountFile },
	"dns_cloudflare_token":            func(s *config.Settings) any { return s.DNS.CloudflareToken.Reveal() },
	"dns_cloudflare_token_file":       func(s *config.Settings) any { return s.DNS.CloudflareToken.Reveal() },
	"dns_httpreq_url":                 func(s *config.Settings) any { return s.DNS.HTTPReqURL },
	"dns_httpreq_username":            func(s *config.Settings) any { return s.DNS.HTTPReqUsername },
	"dns_httpreq_password":            func(s *config.Settings) any { return s.DNS.HTTPReqPassword.Reveal() },
	"dns_httpreq_password_file":       func(s *config.Settings) any { return s.DNS.HTTPReqPassword.Reveal() },
	"dns_exec_program":                func(s *config.Settings) any { return s.DNS.ExecProgram },
	"dns_propagation_timeout":         func(s *config.Settings) any { return s.DNS.Timeout },
	"dns_propagation_delay":           func(s *config.Settings) any { return s.DNS.Delay },
	"dns_resolvers":                   func(s *config.Settings) any { return s.DNS.Resolvers },
	"tesla_auth_url":                  func(s *config.Settings) any { return s.Tesla.AuthURL },
	"tesla_api_url_na":                func(s *config.Settings) any { return s.Tesla.APIURLs["na"] },
	"tesla_api_url_eu":                func(s *config.Settings) any { return s.Tesla.APIURLs["eu"] },
	"tesla_api_url_cn":                func(s *config.Settings) any { return s.Tesla.APIURLs["cn"] },
	"probe_resolvers":                 func(s *config.Settings) any { return s.Probe.Resolvers },
	"probe_roots":                     func(s *config.Settings) any { return filepath.Base(s.Probe.RootsFile) },
	"probe_port":                      func(s *config.Settings) any { return s.Probe.Port },
	"probe_http_port":                 func(s *config.Settings) any { return s.Probe.HTTPPort },
	"probe_allow_private":             func(s *config.Settings) any { return s.Probe.AllowPrivate },

	"allow_ephemeral_storage": func(s *config.Settings) any { return s.ACME.AllowEphemeral },

	"max_connections":        func(s *config.Settings) any { return s.Limits.Connections },
	"max_client_connections": func(s *config.Settings) any { return s.Limits.PerClient },
	"max_client_rate":        func(s *config.Settings) any { return s.Limits.Rate },

	"trusted_proxies":            func(s *config.Settings) any { return s.TrustedProxies },
	"proxy_protocol":             func(s *config.Settings) any { return s.ProxyProtocol },
	"upstream":                   func(s *config.Settings) any { return s.Upstream },
	"upstream_roots":             func(s *config.Settings) any { return filepath.Base(s.Upstream.RootsFile) },
	"upstream_skip_verify":       func(s *config.Settings) any { return s.Upstream.SkipVerify },
	"passthrough":                func(s *config.Settings) any { return s.Passthrough.Routes },
	"passthrough_proxy_protocol": func(s *config.Settings) any { return s.Passthrough.ProxyProtocol },

	"log_level":  func(s *config.Settings) any { return s.Log.Level },
	"log_format": func(s *config.Settings) any { return s.Log.Format },
}

// precedence has, by setting, a value for file, environment and flag, and what
// they become; "" stands for a source the setting has not. with is what it needs
// beside.
var precedence = map[string]struct {
	file, env, flag string
	want            [3]any
	with            []string
}{
	"domain":                          {"a.example.com", "b.example.com", "c.example.com", [3]any{"a.example.com", "b.example.com", "c.example.com"}, nil},
	"client_id":                       {"a", "b", "c", [3]any{"a", "b", "c"}, []string{"WELLKEY_CLIENT_SECRET=s"}},
	"client_id_file":                  {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, []string{"WELLKEY_CLIENT_SECRET=s"}},
	"client_secret":                   {"a", "b", "", [3]any{"a", "b"}, []string{"WELLKEY_CLIENT_ID=i"}},
	"client_secret_file":              {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, []string{"WELLKEY_CLIENT_ID=i"}},
	"credentials_file":                {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, nil},
	"regions":                         {"na", "eu", "cn", [3]any{"[na]", "[eu]", "[cn]"}, nil},
	"key_file":                        {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, nil},
	"accept_key":                      {hex('a'), hex('b'), hex('c'), [3]any{hex('a'), hex('b'), hex('c')}, nil},
	"data_dir":                        {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, nil},
	"storage":                         {"redis://a", "rediss://u@b:1/0", "postgres://u@c/d", [3]any{"redis://a", "rediss://u@b:1/0", "postgres://u@c/d"}, []string{"WELLKEY_KEY_FILE=/k"}},
	"storage_file":                    {"$DIR/url-a", "$DIR/url-b", "$DIR/url-c", [3]any{"redis://u@asecret", "postgres://u@bsecret", "rediss://csecret"}, []string{"WELLKEY_KEY_FILE=/k"}},
	"storage_password":                {"a", "b", "", [3]any{"a", "b"}, []string{"WELLKEY_KEY_FILE=/k", "WELLKEY_STORAGE=redis://u@a"}},
	"storage_password_file":           {"$DIR/hmac-a", "$DIR/hmac-b", "$DIR/hmac-c", [3]any{"YWFh", "YmJi", "Y2Nj"}, []string{"WELLKEY_KEY_FILE=/k", "WELLKEY_STORAGE=redis://u@a"}},
	"storage_roots":                   {"$DIR/a.pem", "$DIR/b.pem", "$DIR/c.pem", [3]any{"a.pem", "b.pem", "c.pem"}, nil},
	"storage_key_file":                {"$DIR/hmac-a", "$DIR/hmac-b", "$DIR/hmac-c", [3]any{"YWFh", "YmJi\n", "Y2Nj\r\n"}, nil},
	"http_addr":                       {":1", ":2", ":3", [3]any{":1", ":2", ":3"}, nil},
	"https_addr":                      {":1", ":2", ":3", [3]any{":1", ":2", ":3"}, nil},
	"admin_addr":                      {":1", ":2", "", [3]any{":1", ":2", ""}, nil},
	"hsts":                            {"true", "false", "true", [3]any{true, false, true}, nil},
	"landlock":                        {"true", "false", "true", [3]any{true, false, true}, nil},
	"admin_web_config":                {"$DIR/web-a", "$DIR/web-b", "$DIR/web-c", [3]any{"web-a", "web-b", "web-c"}, nil},
	"tls":                             {"acme", "off", "files", [3]any{"acme", "off", "files"}, nil},
	"tls_cert_file":                   {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, []string{"WELLKEY_TLS=files", "WELLKEY_TLS_KEY_FILE=/k"}},
	"tls_key_file":                    {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, []string{"WELLKEY_TLS=files", "WELLKEY_TLS_CERT_FILE=/k"}},
	"acme_directory":                  {"https://ca.example/d", "letsencrypt-staging", "letsencrypt", [3]any{"https://ca.example/d", "https://acme-staging-v02.api.letsencrypt.org/directory", "https://acme-v02.api.letsencrypt.org/directory"}, nil},
	"acme_fallback_directory":         {"https://ca.example/d", "letsencrypt-staging", "letsencrypt", [3]any{"https://ca.example/d", "https://acme-staging-v02.api.letsencrypt.org/directory", "https://acme-v02.api.letsencrypt.org/directory"}, []string{"WELLKEY_ACME_DIRECTORY=https://first.example/d"}},
	"acme_fallback_after":             {"1h", "90m", "720h", [3]any{time.Hour, 90 * time.Minute, 720 * time.Hour}, nil},
	"acme_fallback_eab_key_id":        {"a", "b", "c", [3]any{"a", "b", "c"}, []string{"WELLKEY_ACME_FALLBACK_EAB_HMAC_KEY=c2VjcmV0"}},
	"acme_fallback_eab_hmac_key":      {"YWFh", "YmJi", "", [3]any{"YWFh", "YmJi"}, []string{"WELLKEY_ACME_FALLBACK_EAB_KEY_ID=i"}},
	"acme_fallback_eab_hmac_key_file": {"$DIR/hmac-a", "$DIR/hmac-b", "$DIR/hmac-c", [3]any{"YWFh", "YmJi", "Y2Nj"}, []string{"WELLKEY_ACME_FALLBACK_EAB_KEY_ID=i"}},
	"acme_email":                      {"a@example.com", "b@example.com", "c@example.com", [3]any{"a@example.com", "b@example.com", "c@example.com"}, nil},
	"acme_profile":                    {"a", "b", "c", [3]any{"a", "b", "c"}, nil},
	"acme_roots":                      {"$DIR/a.pem", "$DIR/b.pem", "$DIR/c.pem", [3]any{"a.pem", "b.pem", "c.pem"}, nil},
	"acme_eab_key_id":                 {"a", "b", "c", [3]any{"a", "b", "c"}, []string{"WELLKEY_ACME_EAB_HMAC_KEY=c2VjcmV0"}},
	"acme_eab_hmac_key":               {"YWFh", "YmJi", "", [3]any{"YWFh", "YmJi"}, []string{"WELLKEY_ACME_EAB_KEY_ID=i"}},
	"acme_eab_hmac_key_file":          {"$DIR/hmac-a", "$DIR/hmac-b", "$DIR/hmac-c", [3]any{"YWFh", "YmJi", "Y2Nj"}, []string{"WELLKEY_ACME_EAB_KEY_ID=i"}},
	"tesla_auth_url":                  {"https://a.example", "http://127.0.0.1:1", "http://localhost", [3]any{"https://a.example", "http://127.0.0.1:1", "http://localhost"}, nil},
	"tesla_api_url_na":                {"https://a.example", "https://b.example", "http://[::1]:1", [3]any{"https://a.example", "https://b.example", "http://[::1]:1"}, nil},
	"tesla_api_url_eu":                {"https://a.example", "https://b.example", "https://c.example", [3]any{"https://a.example", "https://b.example", "https://c.example"}, nil},
	"tesla_api_url_cn":                {"https://a.example", "https://b.example", "https://c.example", [3]any{"https://a.example", "https://b.example", "https://c.example"}, nil},
	"probe_resolvers":                 {"1.1.1.1", "[::1]:5353, 8.8.8.8", "2606:4700::1", [3]any{"[1.1.1.1:53]", "[[::1]:5353 8.8.8.8:53]", "[[2606:4700::1]:53]"}, nil},
	"probe_roots":                     {"$DIR/a.pem", "$DIR/b.pem", "$DIR/c.pem", [3]any{"a.pem", "b.pem", "c.pem"}, nil},
	"probe_port":                      {"1", "2", "65535", [3]any{1, 2, 65535}, nil},
	"probe_http_port":                 {"1", "2", "65535", [3]any{1, 2, 65535}, nil},
	"probe_allow_private":             {"true", "false", "true", [3]any{true, false, true}, nil},

	"max_connections":        {"1", "2", "1000000", [3]any{1, 2, 1000000}, nil},
	"max_client_connections": {"1", "2", "1000000", [3]any{1, 2, 1000000}, nil},
	"max_client_rate":        {"1", "2", "1000000", [3]any{1, 2, 1000000}, nil},

	"dns_provider":                 {"exec", "exec", "exec", [3]any{"exec", "exec", "exec"}, []string{"WELLKEY_DNS_EXEC_PROGRAM=/p"}},
	"dns_rfc2136_server":           {"ns1.example.com", "192.0.2.1:54", "[2001:db8::1]:53", [3]any{"ns1.example.com:53", "192.0.2.1:54", "[2001:db8::1]:53"}, updates()},
	"dns_rfc2136_zone":             {"a.example", "B.example.", "c.example", [3]any{"a.example", "b.example", "c.example"}, updates("WELLKEY_DNS_RFC2136_SERVER=ns")},
	"dns_rfc2136_tsig_name":        {"a", "B.", "c.example", [3]any{"a", "b", "c.example"}, updates("WELLKEY_DNS_RFC2136_SERVER=ns", "WELLKEY_DNS_RFC2136_TSIG_SECRET=YWFh")},
	"dns_rfc2136_tsig_algorithm":   {"hmac-sha1", "hmac-sha224", "hmac-sha384", [3]any{"hmac-sha1", "hmac-sha224", "hmac-sha384"}, updates("WELLKEY_DNS_RFC2136_SERVER=ns")},
	"dns_rfc2136_tsig_secret":      {"YWFh", "YmJi", "", [3]any{"YWFh", "YmJi"}, updates("WELLKEY_DNS_RFC2136_SERVER=ns", "WELLKEY_DNS_RFC2136_TSIG_NAME=k")},
	"dns_rfc2136_tsig_secret_file": {"$DIR/hmac-a", "$DIR/hmac-b", "$DIR/hmac-c", [3]any{"YWFh", "YmJi", "Y2Nj"}, updates("WELLKEY_DNS_RFC2136_SERVER=ns", "WELLKEY_DNS_RFC2136_TSIG_NAME=k")},
	"dns_acmedns_url":              {"https://a.example", "http://b.example/", "https://c.example/x/", [3]any{"https://a.example", "http://b.example", "https://c.example/x"}, []string{"WELLKEY_DNS_PROVIDER=acme-dns"}},
	"dns_acmedns_account_file":     {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, []string{"WELLKEY_DNS_PROVIDER=acme-dns"}},
	"dns_cloudflare_token":         {"a", "b", "", [3]any{"a", "b"}, []string{"WELLKEY_DNS_PROVIDER=cloudflare"}},
	"dns_cloudflare_token_file":    {"$DIR/hmac-a", "$DIR/hmac-b", "$DIR/hmac-c", [3]any{"YWFh", "YmJi", "Y2Nj"}, []string{"WELLKEY_DNS_PROVIDER=cloudflare"}},
	"dns_httpreq_url":              {"https://a.example", "http://b.example/", "https://c.example/x/", [3]any{"https://a.example", "http://b.example", "https://c.example/x"}, []string{"WELLKEY_DNS_PROVIDER=httpreq"}},
	"dns_httpreq_username":         {"a", "b", "c", [3]any{"a", "b", "c"}, []string{"WELLKEY_DNS_PROVIDER=httpreq", "WELLKEY_DNS_HTTPREQ_URL=https://a.example"}},
	"dns_httpreq_password":         {"a", "b b", "", [3]any{"a", "b b"}, []string{"WELLKEY_DNS_PROVIDER=httpreq", "WELLKEY_DNS_HTTPREQ_URL=https://a.example", "WELLKEY_DNS_HTTPREQ_USERNAME=u"}},
	"dns_httpreq_password_file":    {"$DIR/hmac-a", "$DIR/hmac-b", "$DIR/hmac-c", [3]any{"YWFh", "YmJi", "Y2Nj"}, []string{"WELLKEY_DNS_PROVIDER=httpreq", "WELLKEY_DNS_HTTPREQ_URL=https://a.example", "WELLKEY_DNS_HTTPREQ_USERNAME=u"}},
	"dns_exec_program":             {"/a", "/b", "/c", [3]any{"/a", "/b", "/c"}, []string{"WELLKEY_DNS_PROVIDER=exec"}},
	"dns_propagation_timeout":      {"0s", "90s", "10m", [3]any{time.Duration(0), 90 * time.Second, 10 * time.Minute}, []string{"WELLKEY_DNS_PROVIDER=exec", "WELLKEY_DNS_EXEC_PROGRAM=/p"}},
	"dns_propagation_delay":        {"0s", "90s", "10m", [3]any{time.Duration(0), 90 * time.Second, 10 * time.Minute}, []string{"WELLKEY_DNS_PROVIDER=exec", "WELLKEY_DNS_EXEC_PROGRAM=/p"}},
	"dns_resolvers":                {"1.1.1.1", "[::1]:5353, 8.8.8.8", "2606:4700::1", [3]any{"[1.1.1.1:53]", "[[::1]:5353 8.8.8.8:53]", "[[2606:4700::1]:53]"}, []string{"WELLKEY_DNS_PROVIDER=exec", "WELLKEY_DNS_EXEC_PROGRAM=/p"}},

	"allow_ephemeral_storage": {"true", "false", "true", [3]any{true, false, true}, nil},

	"trusted_proxies":            {"10.0.0.2", "172.16.0.0/12, ::ffff:192.0.2.1", "fd00::/8", [3]any{"[10.0.0.2/32]", "[172.16.0.0/12 192.0.2.1/32]", "[fd00::/8]"}, nil},
	"proxy_protocol":             {"on", "off", "on", [3]any{true, false, true}, []string{"WELLKEY_TRUSTED_PROXIES=10.0.0.2"}},
	"upstream":                   {"http://App:8080/", "https://app", "unix:///run/a//app.sock", [3]any{"http://app:8080", "https://app", "unix:/run/a/app.sock"}, nil},
	"upstream_roots":             {"$DIR/a.pem", "$DIR/b.pem", "$DIR/c.pem", [3]any{"a.pem", "b.pem", "c.pem"}, []string{"WELLKEY_UPSTREAM=https://app"}},
	"upstream_skip_verify":       {"true", "false", "true", [3]any{true, false, true}, []string{"WELLKEY_UPSTREAM=https://app"}},
	"passthrough":                {"a.example.com=a:1", "*.example.com = [::1]:8443, b.example.com=b:2", "*=c:3", [3]any{"[a.example.com=a:1]", "[*.example.com=[::1]:8443 b.example.com=b:2]", "[*=c:3]"}, nil},
	"passthrough_proxy_protocol": {"true", "false", "true", [3]any{true, false, true}, []string{"WELLKEY_PASSTHROUGH=*=c:3"}},

	"log_level":  {"debug", "warn", "error", [3]any{"debug", "warn", "error"}, nil},
	"log_format": {"json", "console", "auto", [3]any{"json", "console", "auto"}, nil},
}

func updates(more ...string) []string { return append(more, "WELLKEY_DNS_PROVIDER=rfc2136") }

func hex(c byte) string { return strings.Repeat(string(c), 64) }

func TestPrecedence(t *testing.T) {
	certificate := rootPEM(t)
	files := map[string]string{
		"a.pem": certificate, "b.pem": certificate, "c.pem": certificate,
		"hmac-a": "YWFh", "hmac-b": "YmJi\n", "hmac-c": "Y2Nj\r\n",
		"web-a": "", "web-b": "basic_auth_users: {}", "web-c": "http_server_config: {http2: false}",
		"url-a": "redis://u:secret@a", "url-b": "postgres://u:secret@b\n", "url-c": "rediss://:secret@c\r\n",
	}
	for _, name := range config.Names() {
		if name == "config" || name == "sites" || name == "sites_dir" {
			continue // TestConfigFile, TestSites
		}
		row, ok := precedence[name]
		if !ok {
			t.Errorf("%s: no row", name)
			continue
		}
		flag := "--" + strings.ReplaceAll(name, "_", "-")
		env := "WELLKEY_" + strings.ToUpper(name)
		in := inputs{files: files, env: row.with}
		if name != "domain" {
			in.env = append(slices.Clone(in.env), "WELLKEY_DOMAIN=example.com")
		}
		check := func(source int) {
			t.Helper()
			value := fmt.Sprint(got[name](must(t, in)))
			if want := fmt.Sprint(row.want[source]); value != want {
				t.Errorf("%s from source %d: got %s, want %s", name, source, value, want)
			}
		}
		in.yaml = name + ": '" + row.file + "'\n"
		check(0)
		in.env = append(in.env, env+"="+row.env)
		check(1)
		if slices.Contains(config.Secrets(), name) {
			continue
		}
		in.args = append(in.args, flag+"="+row.flag)
		if name == "tls" { // files needs them, the others refuse them
			in.args = append(in.args, "--tls-cert-file=/c", "--tls-key-file=/k")
		}
		check(2)
	}
}

func TestDefaults(t *testing.T) {
	s := must(t, inputs{args: []string{"--domain", "example.com"}})
	want := map[string]any{
		"domain": "example.com", "regions": "[na eu]", "data_dir": "/home/user/.local/share/wellkey",
		"key_file":         "/home/user/.local/share/wellkey/key.pem",
		"credentials_file": "/home/user/.local/share/wellkey/credentials.yaml",
		"http_addr":        ":80", "https_addr": ":443", "admin_addr": "127.0.0.1:9090", "admin_web_config": ".", "hsts": true, "landlock": true,
		"tls": "acme", "acme_directory": "https://acme-v02.api.letsencrypt.org/directory", "acme_fallback_after": "24h0m0s",
		"storage_roots": ".", "acme_roots": ".", "probe_roots": ".", "probe_resolvers": "[]", "probe_port": 443, "probe_http_port": 80, "probe_allow_private": false, "allow_ephemeral_storage": false,
		"max_connections": 0, "max_client_connections": 0, "max_client_rate": 0,
		"trusted_proxies": "[]", "proxy_protocol": false, "upstream_roots": ".", "upstream_skip_verify": false, "passthrough": "[]", "passthrough_proxy_protocol": false,
		"dns_propagation_timeout": "2m0s", "dns_propagation_delay": "5s", "dns_resolvers": "[]", "dns_rfc2136_tsig_algorithm": "hmac-sha256",
		"dns_acmedns_account_file": "/home/user/.local/share/wellkey/acme-dns.json",
		"log_level":                "info", "log_format": "auto",
	}
	for name, value := range got {
		wanted, ok := want[name]
		if !ok {
			wanted = ""
		}
		if fmt.Sprint(value(s)) != fmt.Sprint(wanted) {
			t.Errorf("%s: got %q, want %q", name, fmt.Sprint(value(s)), fmt.Sprint(wanted))
		}
	}
	if s.Warnings != nil {
		t.Errorf("warnings: %q", s.Warnings)
	}
}

func TestEveryExampleIsRight(t *testing.T) {
	for name, example := range config.Samples() {
		if name == "sites" || name == "sites_dir" {
			continue // TestSites
		}
		in := inputs{env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_" + strings.ToUpper(name) + "=" + example}}
		_, faults := load(t, in)
		for _, fault := range faults {
			alone := strings.Contains(fault, "is set without") || strings.Contains(fault, "is on, but nobody") || strings.Contains(fault, "but tls is") ||
				strings.Contains(fault, "there is no file") || strings.Contains(fault, "tls is files") || strings.Contains(fault, "which replicas share") || strings.Contains(fault, "which needs dns_")
			if !alone {
				t.Error(fault)
			}
		}
	}
}

func TestConfigFile(t *testing.T) {
	in := inputs{files: map[string]string{"a.yaml": "domain: a.example.com", "b.yaml": "domain: b.example.com"}}
	in.env = []string{"WELLKEY_CONFIG=$DIR/a.yaml"}
	if s := must(t, in); s.Domain != "a.example.com" {
		t.Errorf("environment: got %s", s.Domain)
	}
	in.args = []string{"--config=$DIR/b.yaml"}
	if s := must(t, in); s.Domain != "b.example.com" {
		t.Errorf("flag: got %s", s.Domain)
	}
}

func TestEmptyIsNotGiven(t *testing.T) {
	s := must(t, inputs{
		env:  []string{"WELLKEY_DOMAIN=", "WELLKEY_CLIENT_ID=", "WELLKEY_CLIENT_SECRET=", "WELLKEY_CLIENT_SECRET_FILE=", "WELLKEY_PROBE_PORT=", "WELLKEY_ADMIN_ADDR="},
		args: []string{"--regions="},
		yaml: "domain: example.com\nregions:\n",
	})
	if s.AdminAddr != "" || s.HTTPAddr != ":80" || s.Probe.Port != 443 || len(s.Regions) != 2 {
		t.Errorf("got %+v", s)
	}
}

func TestDataDirectory(t *testing.T) {
	for _, row := range []struct{ env, want string }{
		{"STATE_DIRECTORY=/var/lib/wellkey", "/var/lib/wellkey"},
		{"STATE_DIRECTORY=/var/lib/wellkey:/var/lib/other", "/var/lib/wellkey"},
		{"XDG_DATA_HOME=/xdg", "/xdg/wellkey"},
		{"XDG_DATA_HOME=relative", "/home/user/.local/share/wellkey"},
		{"WELLKEY_DATA_DIR=/data/", "/data"},
	} {
		s := must(t, inputs{env: []string{"WELLKEY_DOMAIN=example.com", row.env}})
		if s.DataDir != row.want || s.KeyFile != row.want+"/key.pem" {
			t.Errorf("%s: got %s and %s", row.env, s.DataDir, s.KeyFile)
		}
	}
}

func TestYAMLForms(t *testing.T) {
	s := must(t, inputs{yaml: "\ufeff# a comment\r\ndomain: example.com\r\nregions: [ eu, na ]\r\nprobe_resolvers:\n  - 1.1.1.1\n  - 9.9.9.9\nprobe_port: 8443\nprobe_allow_private: true\naccept_key: " + strings.Repeat("1", 64) + "\nhttp_addr: ''\n"})
	if d := cmp.Diff([]string{"1.1.1.1:53", "9.9.9.9:53"}, s.Probe.Resolvers); d != "" {
		t.Error(d)
	}
	if fmt.Sprint(s.Regions) != "[eu na]" || s.Probe.Port != 8443 || !s.Probe.AllowPrivate || s.AcceptKey != strings.Repeat("1", 64) || s.HTTPAddr != "" {
		t.Errorf("got %+v", s)
	}
}

func TestTLSOff(t *testing.T) {
	// The image sets the address for everybody.
	s := must(t, inputs{env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_TLS=off", "WELLKEY_HTTPS_ADDR=:8443", "WELLKEY_HTTP_ADDR=:8080"}})
	if s.HTTPSAddr != "" || s.HTTPAddr != ":8080" {
		t.Errorf("got %q and %q", s.HTTPSAddr, s.HTTPAddr)
	}
	must(t, inputs{env: []string{"WELLKEY_DOMAIN=example.com"}, args: []string{"--tls=off", "--https-addr="}})
}

func TestKubernetesServiceLinks(t *testing.T) {
	links := []string{
		"WELLKEY_DOMAIN=example.com", "WELLKEY_SERVICE_HOST=10.0.0.1", "WELLKEY_SERVICE_PORT=80", "WELLKEY_SERVICE_PORT_HTTPS=443",
		"WELLKEY_PORT=tcp://10.0.0.1:80", "WELLKEY_PORT_80_TCP=x", "WELLKEY_PORT_80_TCP_ADDR=x", "WELLKEY_METRICS_SERVICE_HOST=10.0.0.2",
	}
	must(t, inputs{env: append(links, "KUBERNETES_SERVICE_HOST=10.0.0.1")})
	if _, faults := load(t, inputs{env: links}); len(faults) != len(links)-1 {
		t.Errorf("outside of Kubernetes: %q", faults)
	}
}

func TestGoodProxies(t *testing.T) {
	for _, proxy := range []string{
		"", "proxy", "proxy:3128", "user:pass@proxy:3128", "http://proxy", "http://proxy:3128/", "http://proxy:3128/x", "https://user:p%2Fa%25s%40s@proxy:3128", "socks5://127.0.0.1:1080", "socks5h://[::1]:1080",
	} {
		for _, variable := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
			if _, faults := load(t, inputs{args: []string{"--domain=example.com"}, env: []string{variable + "=" + proxy}}); faults != nil {
				t.Errorf("%s=%s: %q", variable, proxy, faults)
			}
		}
	}
	for _, unread := range [][]string{{"NO_PROXY=%zz"}, {"HTTP_PROXY=proxy", "http_proxy=%zz"}, {"HTTPS_PROXY=proxy", "https_proxy=%zz"}} {
		if _, faults := load(t, inputs{args: []string{"--domain=example.com"}, env: unread}); faults != nil {
			t.Errorf("of %q, which is not read for a proxy, it says %q", unread, faults)
		}
	}
}

func TestFaultsAreTyped(t *testing.T) {
	loader := config.New([]string{"WELLKEY_LOG_LEVEL=loud"})
	_, err := loader.Load()
	var fault *config.Fault
	if !errors.As(err, &fault) || fault.Setting != "WELLKEY_LOG_LEVEL" || fault.Where != "" || fault.Fix == "" {
		t.Errorf("got %#v", fault)
	}
}

func TestFlagsAndTables(t *testing.T) {
	flags := pflag.NewFlagSet("wellkey", pflag.ContinueOnError)
	config.New(nil).AddFlags(flags)
	help, markdown := config.HelpTable(), config.MarkdownTable()
	for _, name := range config.Names() {
		if slices.Contains(config.FileOnly(), name) {
			if flags.Lookup(name) != nil || strings.Contains(help, "WELLKEY_"+strings.ToUpper(name)+" ") || !strings.Contains(help, name+":") {
				t.Errorf("%s: has more than its key in the file", name)
			}
			continue
		}
		secret := slices.Contains(config.Secrets(), name)
		flag := flags.Lookup(strings.ReplaceAll(name, "_", "-"))
		if flag == nil || flag.Hidden != secret {
			t.Errorf("%s: flag %+v", name, flag)
		}
		if slices.Contains(strings.Fields(help), "--"+strings.ReplaceAll(name, "_", "-")) == secret {
			t.Errorf("%s: help has the flag of a secret, or lacks one", name)
		}
		if !strings.Contains(help, "WELLKEY_"+strings.ToUpper(name)) || !strings.Contains(markdown, "| `"+name+"` |") {
			t.Errorf("%s: missing from a table", name)
		}
	}
	for line := range strings.Lines(markdown) {
		if strings.HasPrefix(line, "|") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 5 {
			t.Errorf("row of another width: %s", line)
		}
	}
	if usage := flags.FlagUsages(); strings.Contains(usage, "--client-secret ") || !strings.Contains(usage, "(default :443)") {
		t.Errorf("usage:\n%s", usage)
	}
}
