package config_test

import "testing"

// dnsFaultRows are faultRows about the proof by DNS.
var dnsFaultRows = []struct {
	name string
	in   inputs
	want []string
}{
	{"provider nobody knows", inputs{args: []string{"--dns-provider=cloudflair"}}, []string{
		`--dns-provider: "cloudflair" is not known here. Choose among rfc2136, acme-dns, cloudflare, httpreq and exec; did you mean cloudflare?`,
	}},
	{"provider without its settings", inputs{args: []string{"--dns-provider=rfc2136"}}, []string{
		`--dns-provider: is rfc2136, which needs dns_rfc2136_server. Set it too`,
	}},
	{"acme-dns without its settings", inputs{args: []string{"--dns-provider=acme-dns"}}, []string{
		`--dns-provider: is acme-dns, which needs dns_acmedns_url or dns_acmedns_account_file. Set it too`,
	}},
	{"cloudflare without a token", inputs{env: []string{"WELLKEY_DNS_PROVIDER=cloudflare"}}, []string{
		`WELLKEY_DNS_PROVIDER: is cloudflare, which needs dns_cloudflare_token_file or dns_cloudflare_token. Set it too`,
	}},
	{"httpreq without an address", inputs{args: []string{"--dns-provider=httpreq"}}, []string{
		`--dns-provider: is httpreq, which needs dns_httpreq_url. Set it too`,
	}},
	{"exec without a program", inputs{args: []string{"--dns-provider=exec"}}, []string{
		`--dns-provider: is exec, which needs dns_exec_program. Set it too`,
	}},
	{"settings of nobody", inputs{args: []string{"--dns-exec-program=/p", "--dns-propagation-delay=1m"}}, []string{
		`--dns-exec-program: is set without dns_provider. Set dns_provider to exec, or remove this`,
		`--dns-propagation-delay: is set without dns_provider. Set dns_provider to rfc2136, acme-dns, cloudflare, httpreq, exec, or remove this`,
	}},
	{"settings of another", inputs{args: []string{"--dns-provider=exec", "--dns-exec-program=/p", "--dns-httpreq-url=https://a.example"}}, []string{
		`--dns-httpreq-url: is set, but dns_provider is exec. Set dns_provider to httpreq, or remove this`,
	}},
	{"two tokens", inputs{env: []string{"WELLKEY_DNS_PROVIDER=cloudflare", "WELLKEY_DNS_CLOUDFLARE_TOKEN=a"}, args: []string{"--dns-cloudflare-token-file=$DIR/t"}}, []string{
		`--dns-cloudflare-token-file: is set, and so is WELLKEY_DNS_CLOUDFLARE_TOKEN. Remove one of the two`,
	}},
	{"token as a flag", inputs{args: []string{"--dns-provider=cloudflare", "--dns-cloudflare-token=x"}}, []string{
		`--dns-cloudflare-token: a secret on the command line can be read by every user of the machine (ps, /proc). Write it into a file and give --dns-cloudflare-token-file, or set WELLKEY_DNS_CLOUDFLARE_TOKEN`,
	}},
	{"token file that is not there", inputs{args: []string{"--dns-provider=cloudflare", "--dns-cloudflare-token-file=$DIR/t"}}, []string{
		`--dns-cloudflare-token-file: there is no file "$DIR/t". Check the path; in a container it is the path inside`,
	}},
	{"token of two lines", inputs{args: []string{"--dns-provider=cloudflare", "--dns-cloudflare-token-file=$DIR/t"}, files: map[string]string{"t": "a\nb\n"}}, []string{
		`--dns-cloudflare-token-file: the value in "$DIR/t" has white space around it, or a line end or control character in it. Copy it again, alone; one line end behind it is fine in a file`,
	}},
	{"empty password file", inputs{args: []string{"--dns-provider=httpreq", "--dns-httpreq-url=https://a.example", "--dns-httpreq-username=u", "--dns-httpreq-password-file=$DIR/p"}, files: map[string]string{"p": ""}}, []string{
		`--dns-httpreq-password-file: "$DIR/p" is empty. Write the secret into it, alone`,
	}},
	{"password without a user", inputs{args: []string{"--dns-provider=httpreq", "--dns-httpreq-url=https://a.example", "--dns-httpreq-password-file=$DIR/p"}, files: map[string]string{"p": "x"}}, []string{
		`--dns-httpreq-password-file: is set without a user. Set dns_httpreq_username too`,
	}},
	{"address with a password", inputs{args: []string{"--dns-provider=httpreq", "--dns-httpreq-url=https://u:p@a.example"}}, []string{
		`--dns-httpreq-url: has a user name or password in it. Remove both; they have settings of their own`,
	}},
	{"address that is none", inputs{args: []string{"--dns-provider=acme-dns", "--dns-acmedns-url=auth.example.org"}}, []string{
		`--dns-acmedns-url: is no URL of an API. Write it as in https://dns.example.net/acme, without ? and #`,
	}},
	{"key without a secret", inputs{args: []string{"--dns-provider=rfc2136", "--dns-rfc2136-server=ns", "--dns-rfc2136-tsig-name=k"}}, []string{
		`--dns-rfc2136-tsig-name: is set without its secret. Set dns_rfc2136_tsig_secret_file too`,
	}},
	{"secret without a key", inputs{args: []string{"--dns-provider=rfc2136", "--dns-rfc2136-server=ns", "--dns-rfc2136-tsig-secret-file=$DIR/k"}, files: map[string]string{"k": "YWFh"}}, []string{
		`--dns-rfc2136-tsig-secret-file: is set without a name. Set dns_rfc2136_tsig_name to the name of the key`,
	}},
	{"secret not in base64", inputs{env: []string{"WELLKEY_DNS_PROVIDER=rfc2136", "WELLKEY_DNS_RFC2136_SERVER=ns", "WELLKEY_DNS_RFC2136_TSIG_NAME=k", "WELLKEY_DNS_RFC2136_TSIG_SECRET=a b"}}, []string{
		`WELLKEY_DNS_RFC2136_TSIG_SECRET: is not in base64. Copy what stands behind secret in the key of the name server, alone and without quotes`,
	}},
	{"algorithm nobody knows", inputs{args: []string{"--dns-provider=rfc2136", "--dns-rfc2136-server=ns", "--dns-rfc2136-tsig-algorithm=hmac-md5"}}, []string{
		`--dns-rfc2136-tsig-algorithm: "hmac-md5" is not known here. Choose among hmac-sha256, hmac-sha512, hmac-sha384, hmac-sha224 and hmac-sha1`,
	}},
	{"server with a bad port", inputs{args: []string{"--dns-provider=rfc2136", "--dns-rfc2136-server=ns:0"}}, []string{
		`--dns-rfc2136-server: "ns:0" has no valid port. Write host:port, such as ns1.example.com:53, 192.0.2.53:53 or [2001:db8::53]:53`,
	}},
	{"server that is none", inputs{args: []string{"--dns-provider=rfc2136", "--dns-rfc2136-server=a b"}}, []string{
		`--dns-rfc2136-server: "a b" is no address of a name server. Write host:port, such as ns1.example.com:53, 192.0.2.53:53 or [2001:db8::53]:53`,
	}},
	{"zone that is none", inputs{args: []string{"--dns-provider=rfc2136", "--dns-rfc2136-server=ns", `--dns-rfc2136-zone="example.com"`}}, []string{
		`--dns-rfc2136-zone: "\"example.com\"" is no name of the DNS. Write it as in the configuration of the name server, without quotes`,
	}},
	{"program with arguments", inputs{args: []string{"--dns-provider=exec", "--dns-exec-program=dns-hook --force"}}, []string{
		`--dns-exec-program: "dns-hook --force" is no absolute path. Write the whole path of the program, without arguments`,
	}},
	{"user with a line end", inputs{args: []string{"--dns-provider=httpreq", "--dns-httpreq-url=https://a.example", "--dns-httpreq-username=a\nb"}}, []string{
		`--dns-httpreq-username: has white space around it, or a line end or control character in it. Copy it again, alone; one line end behind it is fine in a file`,
	}},
	{"wait too long", inputs{args: []string{"--dns-provider=exec", "--dns-exec-program=/p", "--dns-propagation-timeout=1h"}}, []string{
		`--dns-propagation-timeout: "1h" is out of bounds. Write a time span from 0m to 10m`,
	}},
}

func TestDNSWarnings(t *testing.T) {
	for _, row := range []struct {
		name string
		in   inputs
		want []string
	}{
		{"no use for it", inputs{env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_TLS=off"}, args: []string{"--dns-provider=exec", "--dns-exec-program=/p"}},
			[]string{"--dns-provider: has no effect, since tls is off", "--dns-exec-program: has no effect, since tls is off"}},
		{"in the clear", inputs{env: []string{"WELLKEY_DOMAIN=example.com"}, args: []string{"--dns-provider=httpreq", "--dns-httpreq-url=http://dns.lan"}},
			[]string{"--dns-httpreq-url: is not https, so whoever is in the network between can change your DNS: use it only where nobody else is"}},
		{"on this machine", inputs{env: []string{"WELLKEY_DOMAIN=example.com"}, args: []string{"--dns-provider=acme-dns", "--dns-acmedns-url=http://[::1]:8000"}}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := must(t, row.in).Warnings
			if len(got) != len(row.want) {
				t.Fatalf("got %q, want %q", got, row.want)
			}
			for i, want := range row.want {
				if got[i] != want {
					t.Errorf("got %q, want %q", got[i], want)
				}
			}
		})
	}
}
