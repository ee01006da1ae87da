package config_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/pflag"

	"wellkey/internal/config"
)

// FuzzSettings gives the loader any environment and any file beside it: it gives
// settings that hang together, or faults, each on one line with a fix; the same the
// next time; and nothing on the disk has changed. A value may name a file as $DIR, and
// of a proxy nothing is shown.
func FuzzSettings(f *testing.F) {
	for _, seed := range [][2]string{
		{"WELLKEY_DOMAIN=example.com", ""}, {"", "domain: example.com\nregions: [na, eu]\n"}, {"WELLKEY_DOMAIN=https://Example.COM./x", "domain: b.example\n"},
		{"WELLKEY_DOMAIN=exa\u202emple.com\nWELLKEY_REGIONS=na,,EU,na", "http_addr: ''\nhttps_addr: ''\n"}, {"WELLKEY_CLIENT_ID=i\nWELLKEY_CLIENT_SECRET=s\nWELLKEY_CLIENT_SECRET_FILE=$DIR", "{"},
		{"WELLKEY_HTTP_ADDR=:99999\nWELLKEY_ADMIN_ADDR=[::1\nWELLKEY_HTTPS_ADDR=a:b:c", "tls: off\n"}, {"WELLKEY_STORAGE=redis://u:p%zz@h:1/0\nWELLKEY_KEY_FILE=$DIR/k", "storage: [a]\n"},
		{"WELLKEY_TLS=files\nWELLKEY_TLS_CERT_FILE=$DIR/wellkey.yaml\nWELLKEY_TLS_KEY_FILE=", "tls_cert_file: |\n  x\n"}, {"WELLKEY_ACME_DIRECTORY=http://x\nWELLKEY_ACME_EAB_KEY_ID=k", "acme_directory: zerossl\n"},
		{"WELLKEY_UNKNOWN=1\nwellkey_domain=x\nWELLKEY_\n=\nWELLKEY", "unknown: 1\nDomain: x\n"}, {"WELLKEY_TRUSTED_PROXIES=10.0.0.0/33,::1\nWELLKEY_PROXY_PROTOCOL=maybe", "trusted_proxies: {a: b}\n"},
		{"WELLKEY_DOMAIN=xn--\nWELLKEY_ACCEPT_KEY=00\nWELLKEY_PROBE_PORT=-1", "a: &a [*a]\n"}, {"WELLKEY_DOMAIN=example.com\nWELLKEY_SITES_DIR=$DIR", "sites: [{domain: a.example.com}, {domain: a.example.com, regions: x}, 7]\n"},
		{"WELLKEY_UPSTREAM=http://u:p@127.0.0.1:1/x?y#z\nWELLKEY_PASSTHROUGH=a=b,c", "passthrough: {}\n"}, {"WELLKEY_DNS_PROVIDER=rfc2136\nWELLKEY_DNS_RFC2136_SERVER=[", "dns_provider: no\n"},
		{"WELLKEY_LOG_LEVEL=loud\nWELLKEY_DATA_DIR=\x00", "log_level: 1\nlog_format: \"\\u202e\\r\\n\\e[2J\"\n"}, {"WELLKEY_CREDENTIALS_FILE=$DIR/wellkey.yaml", "client_id: i\nclient_secret: s\n"},
		{"HTTP_PROXY=http://u:CANARY%zz@h:1\nhttps_proxy=u:CANARY/@h", "domain: example.com\n"}, {"HTTPS_PROXY=\nhttps_proxy=ftp://CANARY\nhttp_proxy=socks5://u:CANARY@h:1080", "domain: example.com\n"},
		{"WELLKEY_ADMIN_WEB_CONFIG=$DIR/wellkey.yaml", "tls_server_config: {cert_file: \"\\e[2J\", key_file: wellkey.yaml}\n"},
	} {
		f.Add(seed[0], seed[1])
	}
	dir := f.TempDir()
	path := filepath.Join(dir, "wellkey.yaml")
	f.Fuzz(func(t *testing.T, environ, file string) {
		if strings.Contains(environ, "/dev/") || strings.Contains(file, "/dev/") {
			return // a device may never end, and is the operator's to name
		}
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		load := func() (*config.Settings, error) {
			loader := config.New(append(strings.Split(strings.ReplaceAll(environ, "$DIR", dir), "\n"), "HOME=/home/user"))
			flags := pflag.NewFlagSet("wellkey", pflag.ContinueOnError)
			loader.AddFlags(flags)
			if err := flags.Parse([]string{"--config", path}); err != nil {
				t.Fatal(err)
			}
			return loader.LoadAll(false)
		}
		settings, err := load()
		again, err2 := load()
		if fmt.Sprint(err) != fmt.Sprint(err2) || (settings == nil) != (again == nil) {
			t.Fatalf("once %v, and then %v", err, err2)
		}
		if (settings == nil) == (err == nil) {
			t.Fatal("settings and an error, or neither")
		}
		if shown := fmt.Sprint(err); strings.Contains(shown, "CANARY") && !strings.Contains(proxyLine.ReplaceAllString(environ, "")+file, "CANARY") {
			t.Fatalf("a proxy is shown: %s", shown)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			t.Fatalf("there is %v in the directory now", entries)
		}
		if err != nil {
			joined, ok := err.(interface{ Unwrap() []error })
			if !ok {
				t.Fatalf("got a %T", err)
			}
			for _, one := range joined.Unwrap() {
				var fault *config.Fault
				if !errors.As(one, &fault) || fault.What == "" || fault.Fix == "" {
					t.Fatalf("got %#v", one)
				}
				if text := fault.Error(); strings.ContainsFunc(text, odd) || strings.Contains(text, "%!") {
					t.Fatalf("a fault is %q", text)
				}
			}
			return
		}
		if settings.Domain != strings.ToLower(settings.Domain) || strings.ContainsFunc(settings.Domain, odd) || strings.ContainsAny(settings.Domain, " /:@%") {
			t.Errorf("the domain is %q", settings.Domain)
		}
		for _, addr := range []string{settings.HTTPAddr, settings.HTTPSAddr, settings.AdminAddr} {
			if _, _, err := net.SplitHostPort(addr); addr != "" && err != nil {
				t.Errorf("an address is %q", addr)
			}
		}
		if settings.HTTPAddr == "" && settings.HTTPSAddr == "" || settings.DataDir == "" || settings.Domain != "" && len(settings.Regions) == 0 {
			t.Errorf("got %+v", settings)
		}
		for _, warning := range slices.Concat(settings.Warnings, settings.SiteWarnings) {
			if strings.ContainsFunc(warning, odd) {
				t.Errorf("a warning is %q", warning)
			}
		}
	})
}

// proxyLine is one of an environment that names a proxy.
var proxyLine = regexp.MustCompile(`(?mi)^https?_proxy=.*$`)

// odd reports whether r could move the cursor, turn the text round, or end a line.
func odd(r rune) bool { return !unicode.IsPrint(r) }
