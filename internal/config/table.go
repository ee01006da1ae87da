package config

import (
	"sync"
	"time"
)

// A row is one setting.
type row struct {
	name       string
	kind       string // what its value looks like, in one word
	standard   string // default, as a user would write it
	derived    string // default in words, where it depends on something else
	example    string
	help       string
	secret     bool // has no flag, is never shown
	emptyMeans bool // an empty value is a value, not "not given"
	site       bool // belongs to one domain: with several, it stands in the entry of that site
	fileOnly   bool // has neither flag nor environment variable, since its value is more than a text

	// set checks the text and puts it into the settings. It returns what is
	// wrong and the fix, or two empty strings. Rows without it are read where they
	// are needed.
	set func(s *Settings, text string) (what, fix string)
}

// The kinds of values.
const (
	kindText    = "text"
	kindList    = "list"
	kindAddress = "address"
	kindPath    = "path"
	kindNumber  = "number"
	kindBool    = "bool"
	kindURL     = "url"
	kindSpan    = "duration"
)

// A group is settings about one thing.
type group struct {
	title string
	rows  []row
}

// groups returns all settings, in the order in which they are shown.
func groups() []group {
	return []group{
		{"Domain, key and application", mainRows()},
		{"A store that replicas share", storageRows()},
		{"Listeners and log", listenerRows()},
		{"Limits of the public listeners", limitRows()},
		{"Proxies in front, and your application", shapeRows()},
		{"Certificates", certificateRows()},
		{"Certificates by a DNS record", dnsRows()},
		{"Tesla, and the look from outside", outsideRows()},
	}
}

// table returns all settings. Nobody changes them: they are made once.
var table = sync.OnceValue(func() []row {
	var all []row
	for _, g := range groups() {
		all = append(all, g.rows...)
	}
	return all
})

func mainRows() []row {
	return []row{
		{name: "config", kind: kindPath, example: "/etc/wellkey/wellkey.yaml",
			help: "YAML file with settings; a flag or an environment variable wins over it"},
		{name: "domain", site: true, kind: kindText, derived: "required", example: "example.com", set: setDomain,
			help: "bare host name whose public key is hosted; owners see it in the Tesla app"},
		{name: "client_id", site: true, kind: kindText, example: "c9c40cbf-1b8f-4d8b-a1e6-3e1a5f2d7b60", set: setClientID,
			help: "client id of the application in Tesla's portal; without it wellkey serves, checks and waits"},
		{name: "client_id_file", site: true, kind: kindPath, example: "/run/secrets/client_id", set: path(func(s *Settings) *string { return &s.Application.ClientIDFile }),
			help: "file that holds the client id; may be written later"},
		{name: "client_secret", site: true, kind: kindText, secret: true, example: "ta-secret.xxxx", set: setClientSecret,
			help: "client secret of the application"},
		{name: "client_secret_file", site: true, kind: kindPath, example: "/run/secrets/client_secret", set: path(func(s *Settings) *string { return &s.Application.ClientSecretFile }),
			help: "file that holds the client secret; may be written later"},
		{name: "credentials_file", site: true, kind: kindPath, derived: "credentials.yaml in $CREDENTIALS_DIRECTORY or data_dir, unless one of the four above is set", example: "/run/secrets/tesla.yaml", set: path(func(s *Settings) *string { return &s.Application.CredentialsFile }),
			help: "YAML file with client_id and client_secret; may be written later"},
		{name: "regions", site: true, kind: kindList, standard: "na,eu", example: "na,eu", set: setRegions,
			help: "where to register: na, eu; or cn alone, with an application of its own"},
		{name: "key_file", site: true, kind: kindPath, derived: "key.pem in data_dir", example: "/data/key.pem", set: path(func(s *Settings) *string { return &s.KeyFile }),
			help: "public or private P-256 key in PEM; generated where there is none, here and at Tesla"},
		{name: "accept_key", site: true, kind: kindText, example: "5a0e2c0b7d8f4a1e9c3b6d2f8e7a1c4b5d9e0f3a2b6c8d1e4f7a9b0c3d5e6f81", set: setAcceptKey,
			help: "SHA-256 fingerprint of a key that may replace the registered one; every owner must pair again"},
		{name: "data_dir", kind: kindPath, derived: "$STATE_DIRECTORY, $XDG_DATA_HOME/wellkey or ~/.local/share/wellkey; /data in the image", example: "/data", set: path(func(s *Settings) *string { return &s.DataDir }),
			help: "directory for the key, certificates and state; keep it"},
		{name: "sites_dir", kind: kindPath, example: "/etc/wellkey/sites", set: path(func(s *Settings) *string { return &s.SitesDir }),
			help: "for several domains: directory with a file DOMAIN.yaml for each, which holds the settings of that domain; followed live"},
		{name: "sites", kind: kindList, fileOnly: true, example: "[a.example.com, b.example.com]",
			help: "for several domains: list of domains, or of mappings with the settings of each; only in the file, followed live"},
	}
}

func listenerRows() []row {
	return []row{
		{name: "http_addr", kind: kindAddress, standard: ":80", example: ":8080", emptyMeans: true, set: address(func(s *Settings) *string { return &s.HTTPAddr }),
			help: "where HTTP is served; empty switches it off"},
		{name: "https_addr", kind: kindAddress, standard: ":443", example: ":8443", emptyMeans: true, set: address(func(s *Settings) *string { return &s.HTTPSAddr }),
			help: "where HTTPS is served; empty switches it off"},
		{name: "admin_addr", kind: kindAddress, standard: "127.0.0.1:9090", example: ":9090", emptyMeans: true, set: address(func(s *Settings) *string { return &s.AdminAddr }),
			help: "where metrics, health and status are served; empty switches it off"},
		{name: "admin_web_config", kind: kindPath, example: "/etc/wellkey/web.yml", set: setAdminWebConfig,
			help: "web configuration file of Prometheus's format: TLS and passwords for the admin listener"},
		{name: "hsts", kind: kindBool, standard: "true", example: "false", set: yes(func(s *Settings) *bool { return &s.HSTS }),
			help: "true tells browsers to use HTTPS only, for two years (Strict-Transport-Security); set it to false before a domain goes back to plain HTTP"},
		{name: "landlock", kind: kindBool, standard: "true", example: "false", set: yes(func(s *Settings) *bool { return &s.Landlock }),
			help: "true lets the kernel restrict wellkey to the files that the settings name, where it can; see docs/operating.md"},
		{name: "log_level", kind: kindText, standard: "info", example: "debug", set: setLogLevel,
			help: "debug, info, warn or error"},
		{name: "log_format", kind: kindText, standard: "auto", example: "json", set: setLogFormat,
			help: "json, console, or auto: console on a terminal, json elsewhere"},
	}
}

func limitRows() []row {
	return []row{
		{name: "max_connections", kind: kindNumber, derived: "1024, or 2048 with upstream; fewer where memory or open files are few", example: "10000", set: count(1_000_000, func(s *Settings) *int { return &s.Limits.Connections }),
			help: "connections to a listener of the key at a time; another one displaces the one that was idle longest"},
		{name: "max_client_connections", kind: kindNumber, derived: "64, or 256 with upstream", example: "1000", set: count(1_000_000, func(s *Settings) *int { return &s.Limits.PerClient }),
			help: "of them from one public IPv4 address or IPv6 /64; trusted_proxies and private addresses are not limited"},
		{name: "max_client_rate", kind: kindNumber, derived: "50, or 100 with upstream", example: "1000", set: count(1_000_000, func(s *Settings) *int { return &s.Limits.Rate }),
			help: "connections that one of them may open a second, after five times as many at once"},
	}
}

func shapeRows() []row {
	return []row{
		{name: "trusted_proxies", kind: kindList, example: "10.0.0.2,172.16.0.0/12", set: setTrustedProxies,
			help: "addresses of proxies in front; only they are believed about the client's address"},
		{name: "proxy_protocol", kind: kindText, standard: "off", example: "on", set: setProxyProtocol,
			help: "on: connections from trusted_proxies to the public listeners begin with a PROXY header, v1 or v2"},
		{name: "upstream", kind: kindURL, example: "http://app:8080", set: setUpstream,
			help: "your application, which gets every request that is not for the key; http, https or unix:/path"},
		{name: "upstream_roots", kind: kindPath, derived: "the system's", example: "/certs/ca.pem", set: roots(func(s *Settings) (*string, pool) { return &s.Upstream.RootsFile, &s.Upstream.Roots }),
			help: "root certificates in PEM that vouch for an https upstream"},
		{name: "upstream_skip_verify", kind: kindBool, standard: "false", example: "true", set: yes(func(s *Settings) *bool { return &s.Upstream.SkipVerify }),
			help: "true accepts any certificate of an https upstream, such as the self-signed one of tesla-http-proxy"},
		{name: "passthrough", kind: kindList, example: "telemetry.example.com=fleet-telemetry:443", set: setPassthrough,
			help: "name=host:port: HTTPS connections for other names than domain go there untouched; *.example.com and * are names too"},
		{name: "passthrough_proxy_protocol", kind: kindBool, standard: "false", example: "true", set: yes(func(s *Settings) *bool { return &s.Passthrough.ProxyProtocol }),
			help: "true sends a PROXY v2 header to the targets of passthrough, so that they see the client"},
	}
}

func certificateRows() []row {
	return []row{
		{name: "tls", kind: kindText, standard: "acme", example: "off", set: setTLS,
			help: "acme, files, or off behind a proxy that ends TLS"},
		{name: "tls_cert_file", kind: kindPath, example: "/certs/fullchain.pem", set: path(func(s *Settings) *string { return &s.TLS.CertFile }),
			help: "certificate with its chain in PEM, for tls files"},
		{name: "tls_key_file", kind: kindPath, example: "/certs/privkey.pem", set: path(func(s *Settings) *string { return &s.TLS.KeyFile }),
			help: "private key of that certificate in PEM, for tls files"},
		{name: "acme_directory", kind: kindText, standard: "letsencrypt", example: "letsencrypt-staging", set: directory(first),
			help: "certificate authority: letsencrypt, letsencrypt-staging, zerossl, google, or the https URL of a directory"},
		{name: "acme_email", kind: kindText, example: "ops@example.com", set: setEmail,
			help: "contact for the certificate authorities"},
		{name: "acme_profile", kind: kindText, derived: "classic, where the authority offers it", example: "classic", set: setProfile,
			help: "certificate profile to ask for"},
		{name: "acme_roots", kind: kindPath, derived: "the system's", example: "/certs/ca.pem", set: roots(func(s *Settings) (*string, pool) { return &s.ACME.RootsFile, &s.ACME.Roots }),
			help: "root certificates in PEM that vouch for the authorities' own APIs"},
		{name: "acme_eab_key_id", kind: kindText, example: "kid-1", set: eabKeyID(first),
			help: "key id of an external account binding; zerossl and google require one"},
		{name: "acme_eab_hmac_key", kind: kindText, secret: true, example: "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W", set: eabKey(first),
			help: "HMAC key of that binding, in base64url"},
		{name: "acme_eab_hmac_key_file", kind: kindPath, example: "/run/secrets/eab",
			help: "file that holds it"},
		{name: "acme_fallback_directory", kind: kindText, example: "https://ca.example.com/directory", set: directory(fallback),
			help: "second authority, asked when the first has failed for acme_fallback_after and a certificate is needed; written as acme_directory is"},
		{name: "acme_fallback_after", kind: kindSpan, standard: "24h", example: "12h", set: duration(time.Minute, 30*24*time.Hour, func(s *Settings) *time.Duration { return &s.ACME.FallbackAfter }),
			help: "how long the first authority fails before the second is asked; an hour at most where a certificate is about to expire"},
		{name: "acme_fallback_eab_key_id", kind: kindText, example: "kid-2", set: eabKeyID(fallback),
			help: "key id of an external account binding at the second authority"},
		{name: "acme_fallback_eab_hmac_key", kind: kindText, secret: true, example: "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W", set: eabKey(fallback),
			help: "HMAC key of that binding, in base64url"},
		{name: "acme_fallback_eab_hmac_key_file", kind: kindPath, example: "/run/secrets/fallback_eab",
			help: "file that holds it"},
		{name: "allow_ephemeral_storage", kind: kindBool, standard: "false", example: "true", set: yes(func(s *Settings) *bool { return &s.ACME.AllowEphemeral }),
			help: "true orders certificates although data_dir is lost with the container"},
	}
}

func outsideRows() []row {
	return []row{
		{name: "tesla_auth_url", kind: kindURL, derived: "Tesla's", example: "http://127.0.0.1:8081", set: setAuthURL,
			help: "token endpoint's host; http is accepted for loopback only"},
		{name: "tesla_api_url_na", kind: kindURL, derived: "Tesla's", example: "http://127.0.0.1:8082", set: setAPIURL("na"),
			help: "Fleet API of North America and Asia-Pacific; also the audience of its tokens"},
		{name: "tesla_api_url_eu", kind: kindURL, derived: "Tesla's", example: "http://127.0.0.1:8083", set: setAPIURL("eu"),
			help: "Fleet API of Europe, Middle East and Africa"},
		{name: "tesla_api_url_cn", kind: kindURL, derived: "Tesla's", example: "http://127.0.0.1:8084", set: setAPIURL("cn"),
			help: "Fleet API of China"},
		{name: "probe_resolvers", kind: kindList, derived: "public resolvers", example: "1.1.1.1,9.9.9.9:53", set: resolvers(func(s *Settings) *[]string { return &s.Probe.Resolvers }),
			help: "DNS servers that the look from outside asks"},
		{name: "probe_roots", kind: kindPath, derived: "the system's", example: "/certs/ca.pem", set: roots(func(s *Settings) (*string, pool) { return &s.Probe.RootsFile, &s.Probe.Roots }),
			help: "root certificates in PEM that the look from outside trusts"},
		{name: "probe_port", kind: kindNumber, standard: "443", example: "8443", set: port(func(s *Settings) *int { return &s.Probe.Port }),
			help: "port that the look from outside dials"},
		{name: "probe_http_port", kind: kindNumber, standard: "80", example: "8080", set: port(func(s *Settings) *int { return &s.Probe.HTTPPort }),
			help: "port at which doctor looks for plain HTTP"},
		{name: "probe_allow_private", kind: kindBool, standard: "false", example: "true", set: yes(func(s *Settings) *bool { return &s.Probe.AllowPrivate }),
			help: "true lets the look from outside dial private addresses"},
	}
}

// names returns the names of the rows that keep wants.
func names(keep func(row) bool) []string {
	var all []string
	for _, r := range table() {
		if keep(r) {
			all = append(all, r.name)
		}
	}
	return all
}
