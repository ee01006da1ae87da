package config

import (
	"encoding/base64"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"wellkey/internal/loopback"
	"wellkey/internal/secret"
)

// DNS says how the domain is proved by a record of its zone.
type DNS struct {
	Provider string // one of dnsProviders; "" = by HTTP and HTTPS

	RFC2136 DNSUpdates

	ACMEDNSURL         string // "" = the account says it
	ACMEDNSAccountFile string // always set, but see LoadFor

	CloudflareToken secret.Text

	HTTPReqURL, HTTPReqUsername string
	HTTPReqPassword             secret.Text

	ExecProgram string // absolute path

	Resolvers      []string      // IP:port; empty is those of Probe
	Timeout, Delay time.Duration // of propagation
}

// DNSUpdates says which name server takes dynamic updates, and by which key.
type DNSUpdates struct {
	Server    string // host:port
	Zone      string // "" = what Server says
	KeyName   string // of the TSIG key; "" = none
	Algorithm string
	Secret    secret.Text // base64; set if KeyName is
}

// A dnsProvider is one value of dns_provider: how its own settings begin, and
// which of them must be set. Of several names in one requirement, one is enough.
type dnsProvider struct {
	name, prefix string
	wants        [][]string
}

func dnsProviders() []dnsProvider {
	return []dnsProvider{
		{"rfc2136", "dns_rfc2136_", [][]string{{"dns_rfc2136_server"}}},
		{"acme-dns", "dns_acmedns_", [][]string{{"dns_acmedns_url", "dns_acmedns_account_file"}}},
		{"cloudflare", "dns_cloudflare_", [][]string{{"dns_cloudflare_token_file", "dns_cloudflare_token"}}},
		{"httpreq", "dns_httpreq_", [][]string{{"dns_httpreq_url"}}},
		{"exec", "dns_exec_", [][]string{{"dns_exec_program"}}},
	}
}

func dnsProviderNames() []string {
	var all []string
	for _, p := range dnsProviders() {
		all = append(all, p.name)
	}
	return all
}

// tsigAlgorithms are those that every name server has.
var tsigAlgorithms = []string{"hmac-sha256", "hmac-sha512", "hmac-sha384", "hmac-sha224", "hmac-sha1"}

func dnsRows() []row {
	return []row{
		{name: "dns_provider", kind: kindText, example: "rfc2136", set: setDNSProvider,
			help: "proves the domain by a DNS record instead of ports 80 and 443: rfc2136, acme-dns, cloudflare, httpreq or exec"},
		{name: "dns_rfc2136_server", kind: kindAddress, example: "ns1.example.com:53", set: setUpdateServer,
			help: "primary name server that takes dynamic updates of the zone"},
		{name: "dns_rfc2136_zone", kind: kindText, derived: "what the server says", example: "example.com", set: dnsName(func(s *Settings) *string { return &s.DNS.RFC2136.Zone }),
			help: "zone that the record is put into"},
		{name: "dns_rfc2136_tsig_name", kind: kindText, example: "wellkey.example.com", set: dnsName(func(s *Settings) *string { return &s.DNS.RFC2136.KeyName }),
			help: "name of the TSIG key that signs updates"},
		{name: "dns_rfc2136_tsig_algorithm", kind: kindText, standard: "hmac-sha256", example: "hmac-sha512", set: setTSIGAlgorithm,
			help: "algorithm of that key: hmac-sha256, hmac-sha512, hmac-sha384, hmac-sha224 or hmac-sha1"},
		{name: "dns_rfc2136_tsig_secret", kind: kindText, secret: true, example: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U=", set: setTSIGSecret,
			help: "secret of that key, in base64"},
		{name: "dns_rfc2136_tsig_secret_file", kind: kindPath, example: "/run/secrets/tsig",
			help: "file that holds it"},
		{name: "dns_acmedns_url", kind: kindURL, example: "https://auth.example.org", set: dnsURL(func(s *Settings) *string { return &s.DNS.ACMEDNSURL }),
			help: "API of an acme-dns server; an account is registered there if the file has none"},
		{name: "dns_acmedns_account_file", kind: kindPath, derived: "acme-dns.json in data_dir", example: "/data/acme-dns.json", set: path(func(s *Settings) *string { return &s.DNS.ACMEDNSAccountFile }),
			help: "JSON file with the account of the domain, in the form that other ACME clients use"},
		{name: "dns_cloudflare_token", kind: kindText, secret: true, example: "v1_abcdefghijklmnopqrstuvwxyz0123456789ABCD", set: dnsSecret(func(s *Settings) *secret.Text { return &s.DNS.CloudflareToken }),
			help: "API token with Zone:DNS:Edit and Zone:Zone:Read for the zone"},
		{name: "dns_cloudflare_token_file", kind: kindPath, example: "/run/secrets/cloudflare",
			help: "file that holds it"},
		{name: "dns_httpreq_url", kind: kindURL, example: "https://dns.example.net/acme", set: dnsURL(func(s *Settings) *string { return &s.DNS.HTTPReqURL }),
			help: "your own service: POST /present and /cleanup with fqdn and value in JSON"},
		{name: "dns_httpreq_username", kind: kindText, example: "wellkey", set: dnsText(func(s *Settings) *string { return &s.DNS.HTTPReqUsername }),
			help: "user of its Basic authentication"},
		{name: "dns_httpreq_password", kind: kindText, secret: true, example: "correct-horse", set: dnsSecret(func(s *Settings) *secret.Text { return &s.DNS.HTTPReqPassword }),
			help: "password of that user"},
		{name: "dns_httpreq_password_file", kind: kindPath, example: "/run/secrets/httpreq",
			help: "file that holds it"},
		{name: "dns_exec_program", kind: kindPath, example: "/usr/local/bin/dns-hook", set: setExecProgram,
			help: "your own program: called with present or cleanup, the name and the value"},
		{name: "dns_propagation_timeout", kind: kindSpan, standard: "2m", example: "10m", set: duration(0, 10*time.Minute, func(s *Settings) *time.Duration { return &s.DNS.Timeout }),
			help: "how long to wait until every name server of the zone has the record; 0s does not look"},
		{name: "dns_propagation_delay", kind: kindSpan, standard: "5s", example: "30s", set: duration(0, 10*time.Minute, func(s *Settings) *time.Duration { return &s.DNS.Delay }),
			help: "how long to wait after that, for the servers that share one address"},
		{name: "dns_resolvers", kind: kindList, derived: "probe_resolvers", example: "1.1.1.1,9.9.9.9:53", set: resolvers(func(s *Settings) *[]string { return &s.DNS.Resolvers }),
			help: "DNS servers that are asked for the name servers of the zone and the CNAME of the challenge"},
	}
}

func setDNSProvider(s *Settings, text string) (what, fix string) {
	s.DNS.Provider = text
	return choose(text, dnsProviderNames()...)
}

func setTSIGAlgorithm(s *Settings, text string) (what, fix string) {
	s.DNS.RFC2136.Algorithm = text
	return choose(text, tsigAlgorithms...)
}

// setTSIGSecret does not show the text.
func setTSIGSecret(s *Settings, text string) (what, fix string) {
	if key, err := base64.StdEncoding.DecodeString(text); err != nil || len(key) == 0 {
		return "is not in base64", "Copy what stands behind secret in the key of the name server, alone and without quotes"
	}
	s.DNS.RFC2136.Secret = secret.New(text)
	return "", ""
}

func setUpdateServer(s *Settings, text string) (what, fix string) {
	const example = "Write host:port, such as ns1.example.com:53, 192.0.2.53:53 or [2001:db8::53]:53"
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), "53"
	}
	if _, err := parsePort(port, 1); err != nil {
		return quote(text) + " has no valid port", example
	}
	if _, err := netip.ParseAddr(host); err != nil {
		if what, _ := checkHost(host + ".example.com"); what != "" || host == "" { // it may have one label
			return quote(text) + " is no address of a name server", example
		}
	}
	s.DNS.RFC2136.Server = net.JoinHostPort(host, port)
	return "", ""
}

// dnsName returns a setter of a name in the DNS that need not be a host: a zone,
// or a key.
func dnsName(field func(*Settings) *string) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		name := strings.ToLower(strings.TrimSuffix(text, "."))
		labels := strings.Split(name, ".")
		if len(name) > 253 || slices.ContainsFunc(labels, func(l string) bool { return l == "" || len(l) > 63 }) ||
			strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"'\/;()@$`, c) }) {
			return quote(text) + " is no name of the DNS", "Write it as in the configuration of the name server, without quotes"
		}
		*field(s) = name
		return "", ""
	}
}

// dnsText returns a setter of one line of text.
func dnsText(field func(*Settings) *string) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		what, fix = checkLine(text)
		*field(s) = text
		return what, fix
	}
}

// dnsSecret returns a setter of a secret. It does not show the text.
func dnsSecret(field func(*Settings) *secret.Text) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		what, fix = checkLine(text)
		*field(s) = secret.New(text)
		return what, fix
	}
}

func checkLine(text string) (what, fix string) {
	if strings.TrimSpace(text) != text || strings.ContainsFunc(text, unicode.IsControl) {
		return "has white space around it, or a line end or control character in it", "Copy it again, alone; one line end behind it is fine in a file"
	}
	return "", ""
}

// dnsURL returns a setter of the address of an API, to which paths are added. It
// does not show a text that may hold a password.
func dnsURL(field func(*Settings) *string) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		u, err := url.Parse(text)
		switch {
		case err == nil && u.User != nil:
			return "has a user name or password in it", "Remove both; they have settings of their own"
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
			return "is no URL of an API", "Write it as in https://dns.example.net/acme, without ? and #"
		}
		*field(s) = strings.TrimRight(text, "/")
		return "", ""
	}
}

func setExecProgram(s *Settings, text string) (what, fix string) {
	if !filepath.IsAbs(text) {
		return quote(text) + " is no absolute path", "Write the whole path of the program, without arguments"
	}
	return path(func(s *Settings) *string { return &s.DNS.ExecProgram })(s, text)
}

// finishDNS checks that the settings of one provider are given, whole, and those
// of no other.
func (d *draft) finishDNS() {
	s := &d.settings
	if !d.given("dns_acmedns_account_file") && s.DataDir != "" {
		s.DNS.ACMEDNSAccountFile = filepath.Join(s.DataDir, "acme-dns.json")
	}
	for _, pair := range []struct {
		name string
		set  func(*Settings, string) (what, fix string)
	}{
		{"dns_rfc2136_tsig_secret", setTSIGSecret},
		{"dns_cloudflare_token", dnsSecret(func(s *Settings) *secret.Text { return &s.DNS.CloudflareToken })},
		{"dns_httpreq_password", dnsSecret(func(s *Settings) *secret.Text { return &s.DNS.HTTPReqPassword })},
	} {
		d.finishSecret(pair.name, pair.set)
	}
	if !d.sound("dns_provider", "tls") || s.TLS.Mode != TLSACME {
		return // finishTLS warns
	}
	for _, name := range names(func(r row) bool { return strings.HasPrefix(r.name, "dns_") && r.name != "dns_provider" }) {
		if !d.given(name) {
			continue
		}
		i := slices.IndexFunc(dnsProviders(), func(p dnsProvider) bool { return strings.HasPrefix(name, p.prefix) })
		switch {
		case i < 0 && s.DNS.Provider == "":
			d.fault(name, "is set without dns_provider", "Set dns_provider to "+strings.Join(dnsProviderNames(), ", ")+", or remove this")
		case i < 0 || dnsProviders()[i].name == s.DNS.Provider:
		case s.DNS.Provider == "":
			d.fault(name, "is set without dns_provider", "Set dns_provider to "+dnsProviders()[i].name+", or remove this")
		default:
			d.fault(name, "is set, but dns_provider is "+s.DNS.Provider, "Set dns_provider to "+dnsProviders()[i].name+", or remove this")
		}
	}
	for _, p := range dnsProviders() {
		if p.name == s.DNS.Provider {
			d.finishProvider(p)
		}
	}
}

func (d *draft) finishProvider(p dnsProvider) {
	for _, wanted := range p.wants {
		if !slices.ContainsFunc(wanted, func(name string) bool { return d.given(name) || !d.sound(name) }) {
			d.fault("dns_provider", "is "+p.name+", which needs "+strings.Join(wanted, " or "), "Set it too")
		}
	}
	s := &d.settings.DNS
	const key, keyFile, name = "dns_rfc2136_tsig_secret", "dns_rfc2136_tsig_secret_file", "dns_rfc2136_tsig_name"
	switch secret := d.given(key) || d.given(keyFile); {
	case p.name != "rfc2136" || !d.sound(name, key, keyFile):
	case d.given(name) && !secret:
		d.fault(name, "is set without its secret", "Set "+keyFile+" too")
	case secret && !d.given(name):
		d.fault(d.either(key), "is set without a name", "Set "+name+" to the name of the key")
	}
	const user, password = "dns_httpreq_username", "dns_httpreq_password" // #nosec G101 -- names of settings
	if given := d.given(password) || d.given(password+"_file"); given && !d.given(user) && d.sound(user) {
		d.fault(d.either(password), "is set without a user", "Set "+user+" too")
	}
	for _, api := range []struct{ name, text string }{{"dns_acmedns_url", s.ACMEDNSURL}, {"dns_httpreq_url", s.HTTPReqURL}} {
		if u, err := url.Parse(api.text); err == nil && api.text != "" && !loopback.Safe(u) {
			d.warn(api.name, "is not https, so whoever is in the network between can change your DNS: use it only where nobody else is")
		}
	}
}

// finishSecret reads the file of a secret that may be given either way.
func (d *draft) finishSecret(name string, set func(*Settings, string) (what, fix string)) {
	file := name + "_file"
	d.exclusive(name, file)
	if d.given(file) && d.sound(name, file) {
		d.readSecret(file, set)
	}
}
