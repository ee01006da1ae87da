package config_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"wellkey/internal/config"
)

const canary = "Canary7f3a"

func TestNoSecretIsShown(t *testing.T) {
	for _, in := range []inputs{
		{env: []string{"WELLKEY_CLIENT_ID=i", "WELLKEY_CLIENT_SECRET=" + canary, "WELLKEY_ACME_EAB_KEY_ID=k", "WELLKEY_ACME_EAB_HMAC_KEY=" + canary}},
		{env: []string{"WELLKEY_CLIENT_ID=ta-secret." + canary, "WELLKEY_CLIENT_SECRET=" + canary + " ", "WELLKEY_ACME_EAB_HMAC_KEY=" + canary + "!"}},
		{args: []string{"--client-secret=" + canary, "--acme-eab-hmac-key", canary}},
		{args: []string{"--client-secrets=" + canary}},
		{env: []string{"WELLKEY_CLIENT_SECRT=" + canary}},
		{env: []string{"WELLKEY_CLIENT_SECRET:" + canary + "=x"}},
		{yaml: "client_secret: *" + canary},
		{yaml: "client_secret: &" + canary},
		{yaml: "client_secret: !" + canary},
		{yaml: "client_secret: !<" + canary + "> x"},
		{yaml: "client_secret: !y!" + canary + " x"},
		{yaml: "client_secret: {" + canary},
		{yaml: "client_secret: %" + canary + "\n@" + canary},
		{yaml: "client_secret: a: " + canary},
		{yaml: "client_secret:" + canary},
		{yaml: "client_secret:" + canary + "\ndomain: example.com"},
		{yaml: "client_secret=" + canary + ": x"},
		{yaml: "client_secret: [" + canary + ", b]"},
		{yaml: "client_secret: {" + canary + ": b}"},
		{yaml: "client_secret: '" + canary},
		{yaml: "client_secret: \"\\q" + canary + "\""},
		{yaml: "client_secret: " + canary + "\nclient_secret: " + canary},
		{args: []string{"--client-secret-file=$DIR/s", "--client-id=i"}, files: map[string]string{"s": canary + "\n" + canary}},
		{env: []string{"WELLKEY_ACME_FALLBACK_DIRECTORY=zerossl", "WELLKEY_ACME_FALLBACK_EAB_KEY_ID=k", "WELLKEY_ACME_FALLBACK_EAB_HMAC_KEY=" + canary}},
		{env: []string{"WELLKEY_ACME_FALLBACK_EAB_HMAC_KEY=" + canary + "!"}, args: []string{"--acme-fallback-eab-hmac-key=" + canary}},
		{args: []string{"--acme-fallback-eab-hmac-key-file=$DIR/s", "--acme-fallback-eab-key-id=i"}, files: map[string]string{"s": canary + "+"}},
		{args: []string{"--acme-fallback-directory=https://user:" + canary + "@host.example"}},
		{args: []string{"--acme-eab-hmac-key-file=$DIR/s", "--acme-eab-key-id=i"}, files: map[string]string{"s": canary + "+"}},
		{args: []string{"--credentials-file=$DIR/s"}, files: map[string]string{"s": "client_id: ta-secret." + canary + "\nclient_secret: *" + canary}},
		{args: []string{"--credentials-file=$DIR/s"}, files: map[string]string{"s": "client_id: i\nclient_secret: [" + canary + "]"}},
		{args: []string{"--admin-web-config=$DIR/s"}, files: map[string]string{"s": "basic_auth_users:\n  prometheus: " + canary}},
		{args: []string{"--admin-web-config=$DIR/s"}, files: map[string]string{"s": "tls_server_config: {key: " + canary + "}"}},
		{env: []string{"WELLKEY_DNS_PROVIDER=cloudflare", "WELLKEY_DNS_CLOUDFLARE_TOKEN=" + canary}},
		{env: []string{"WELLKEY_DNS_PROVIDER=cloudflare", "WELLKEY_DNS_CLOUDFLARE_TOKEN=" + canary + "\t"}},
		{env: []string{"WELLKEY_DNS_PROVIDER=httpreq", "WELLKEY_DNS_HTTPREQ_PASSWORD=" + canary, "WELLKEY_DNS_HTTPREQ_URL=https://user:" + canary + "@host.example"}},
		{env: []string{"WELLKEY_DNS_PROVIDER=httpreq", "WELLKEY_DNS_HTTPREQ_PASSWORD=" + canary, "WELLKEY_DNS_HTTPREQ_URL=https://host.example", "WELLKEY_DNS_HTTPREQ_USERNAME=u"}},
		{env: []string{"WELLKEY_DNS_PROVIDER=rfc2136", "WELLKEY_DNS_RFC2136_SERVER=ns", "WELLKEY_DNS_RFC2136_TSIG_NAME=k", "WELLKEY_DNS_RFC2136_TSIG_SECRET=" + canary + "AA"}},
		{env: []string{"WELLKEY_DNS_PROVIDER=rfc2136", "WELLKEY_DNS_RFC2136_SERVER=ns", "WELLKEY_DNS_RFC2136_TSIG_NAME=k", "WELLKEY_DNS_RFC2136_TSIG_SECRET=" + canary + "!"}},
		{args: []string{"--dns-rfc2136-tsig-secret-file=$DIR/s", "--dns-provider=rfc2136"}, files: map[string]string{"s": canary + "!"}},
		{args: []string{"--dns-cloudflare-token=" + canary, "--dns-httpreq-password", canary}},
		{args: []string{"--upstream=http://user:" + canary + "@127.0.0.1:1"}},
		{args: []string{"--tesla-auth-url=https://user:" + canary + "@host.example"}},
		{args: []string{"--acme-directory=https://user:" + canary + "@host.example"}},
		{env: []string{"WELLKEY_KEY_FILE=/k", "WELLKEY_STORAGE=redis://u:" + canary + "@host/0"}},
		{env: []string{"WELLKEY_KEY_FILE=/k", "WELLKEY_STORAGE=redis://u@host/0", "WELLKEY_STORAGE_PASSWORD=" + canary}},
		{env: []string{"WELLKEY_STORAGE=redis://u:" + canary + "%zz@host/0"}},
		{env: []string{"WELLKEY_STORAGE=redis://u:" + canary + "@host:port/0"}},
		{env: []string{"WELLKEY_STORAGE=mysql://u:" + canary + "@host/0"}},
		{env: []string{"WELLKEY_STORAGE=redis://u:" + canary + "@/0", "WELLKEY_STORAGE_PASSWORD=" + canary}},
		{env: []string{"WELLKEY_STORAGE=postgres://u@host/d?password=" + canary}},
		{args: []string{"--storage=redis://u:" + canary + "@host/0"}},
		{args: []string{"--storage-password=" + canary}},
		{args: []string{"--storage-file=$DIR/s"}, files: map[string]string{"s": "redis//u:" + canary + "@host"}},
		{args: []string{"--storage-file=$DIR/s", "--key-file=/k"}, files: map[string]string{"s": "redis://u:" + canary + "@host\n"}},
		{args: []string{"--storage-password-file=$DIR/s"}, files: map[string]string{"s": canary + "\n" + canary}},
		{args: []string{"--storage-key-file=$DIR/s"}, files: map[string]string{"s": canary}},
		{env: []string{"HTTP_PROXY=http://user:" + canary + "%zz@host:3128"}},
		{env: []string{"http_proxy=http://user:" + canary + "/x@host:3128"}},
		{env: []string{"HTTPS_PROXY=http://user:p@" + canary + "/x@host:3128"}},
		{env: []string{"https_proxy=" + canary + "://host"}},
		{env: []string{"HTTPS_PROXY=http://user:" + canary + "@host:3128"}},
	} {
		in.env = append(in.env, "WELLKEY_DOMAIN=example.com")
		settings, faults := load(t, in)
		shown := strings.Join(faults, "\n")
		if settings != nil {
			text, err := json.Marshal(settings)
			if err != nil {
				t.Fatal(err)
			}
			shown += fmt.Sprintf("%v %+v %#v %+v %s", settings, settings, settings, *settings, text)
		}
		if strings.Contains(shown, canary) {
			t.Errorf("%+v: the secret is shown: %s", in, shown)
		}
	}
}

// FuzzFile looks for files of settings that make the loader panic, or that make
// it show what stands behind client_secret.
func FuzzFile(f *testing.F) {
	f.Add("domain: example.com\nclient_id: i\n", "s")
	f.Add("regions: [na, eu]\n---\n", "&a *a")
	f.Add("", "{")
	f.Add("<<: *a\n? x\n", "|\n  x")
	f.Fuzz(func(t *testing.T, before, secret string) {
		if strings.Contains(before, canary) {
			return
		}
		path := t.TempDir() + "/wellkey.yaml"
		text := before + "\nclient_secret: " + secret + canary + "\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		loader := config.New([]string{"HOME=/home/user"})
		flags := pflag.NewFlagSet("wellkey", pflag.ContinueOnError)
		loader.AddFlags(flags)
		if err := flags.Parse([]string{"--config", path}); err != nil {
			t.Fatal(err)
		}
		settings, err := loader.Load()
		if (settings == nil) == (err == nil) {
			t.Fatal("settings and an error, or neither")
		}
		// A secret with a line end in it is no value of client_secret any more.
		if !strings.ContainsAny(secret, "\r\n\u0085\u2028\u2029") && strings.Contains(fmt.Sprintf("%v %+v", err, settings), canary) {
			t.Errorf("shown: %v %+v", err, settings)
		}
	})
}
