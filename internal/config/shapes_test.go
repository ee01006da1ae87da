package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shapeFaultRows are faultRows about what stands around the listeners.
var shapeFaultRows = []struct {
	name string
	in   inputs
	want []string
}{
	{"proxy by name", inputs{args: []string{"--trusted-proxies=traefik"}}, []string{
		`--trusted-proxies: "traefik" is neither an IP address nor a range of them. Write addresses as proxies connect from them, such as 10.0.0.2, 172.16.0.0/12 or fd00::/8`,
	}},
	{"proxy with a zone", inputs{args: []string{"--trusted-proxies=fe80::1%eth0"}}, []string{
		`--trusted-proxies: "fe80::1%eth0" is neither an IP address nor a range of them. Write addresses as proxies connect from them, such as 10.0.0.2, 172.16.0.0/12 or fd00::/8`,
	}},
	{"everybody trusted", inputs{args: []string{"--trusted-proxies=10.0.0.2,0.0.0.0/0"}}, []string{
		`--trusted-proxies: "0.0.0.0/0" trusts everybody, so that every visitor could pretend to be another. Write the addresses of the proxies, or of the network in which nobody else is`,
	}},
	{"range with host bits", inputs{args: []string{"--trusted-proxies=10.0.0.2/8"}}, []string{
		`--trusted-proxies: "10.0.0.2/8" is an address with the length of a range. Write 10.0.0.0/8 for the range, or 10.0.0.2 for the address`,
	}},
	{"proxy protocol true", inputs{args: []string{"--proxy-protocol=true", "--trusted-proxies=10.0.0.2"}}, []string{
		`--proxy-protocol: "true" is not known here. Choose among off and on`,
	}},
	{"proxy protocol of nobody", inputs{args: []string{"--proxy-protocol=on"}}, []string{
		`--proxy-protocol: is on, but nobody is trusted to say who the client is. Set trusted_proxies to the addresses of the proxies`,
	}},
	{"upstream without scheme", inputs{args: []string{"--upstream=app:8080"}}, []string{
		`--upstream: "app:8080" has no scheme. Write it as in http://app:8080, https://app:8443 or unix:/run/app.sock`,
	}},
	{"upstream of another scheme", inputs{args: []string{"--upstream=fastcgi://app"}}, []string{
		`--upstream: "fastcgi://app" is no address of an application. Write it as in http://app:8080, https://app:8443 or unix:/run/app.sock`,
	}},
	{"upstream with a path", inputs{args: []string{"--upstream=http://app:8080/base/"}}, []string{
		`--upstream: "http://app:8080/base/" has more behind the host, but paths are passed on as they are. Write http://app:8080`,
	}},
	{"upstream with a password", inputs{args: []string{"--upstream=http://user:hunter2@app"}}, []string{
		`--upstream: has a user name or password in it. Remove both: wellkey passes on what visitors send`,
	}},
	{"upstream with a bad port", inputs{args: []string{"--upstream=http://app:0"}}, []string{
		`--upstream: "http://app:0" has no valid port. Write a number from 1 to 65535 behind the last colon`,
	}},
	{"upstream without socket", inputs{args: []string{"--upstream=unix:"}}, []string{
		`--upstream: "unix:" names no socket. Write the whole path, as in unix:/run/app.sock`,
	}},
	{"upstream is the domain", inputs{args: []string{"--upstream=https://example.com"}, env: []string{"WELLKEY_DOMAIN=example.com"}}, []string{
		`--upstream: is wellkey itself, so that requests would go round in circles. Write the address at which the application itself listens`,
	}},
	{"upstream is our port", inputs{args: []string{"--upstream=http://localhost"}}, []string{
		`--upstream: is wellkey itself, so that requests would go round in circles. Write the address at which the application itself listens`,
	}},
	{"upstream settings without upstream", inputs{args: []string{"--upstream-skip-verify", "--upstream-roots=$DIR/r"}, files: map[string]string{"r": "$ROOT"}}, []string{
		`--upstream-roots: is set without upstream. Set upstream to the address of the application, or remove this`,
		`--upstream-skip-verify: is set without upstream. Set upstream to the address of the application, or remove this`,
	}},
	{"upstream roots and none", inputs{args: []string{"--upstream=https://app", "--upstream-skip-verify", "--upstream-roots=$DIR/r"}, files: map[string]string{"r": "$ROOT"}}, []string{
		`--upstream-skip-verify: is true, and upstream_roots names the certificates to check against. Remove one of the two`,
	}},
	{"passthrough without target", inputs{args: []string{"--passthrough=telemetry.example.com"}}, []string{
		`--passthrough: "telemetry.example.com" is not a name and a target. Write it as in telemetry.example.com=fleet-telemetry:443`,
	}},
	{"passthrough without port", inputs{args: []string{"--passthrough=telemetry.example.com=fleet-telemetry"}}, []string{
		`--passthrough: "fleet-telemetry" is no target. Write it as host:port, such as fleet-telemetry:443 or [fd00::2]:443`,
	}},
	{"passthrough to a URL", inputs{args: []string{"--passthrough=telemetry.example.com=https://fleet-telemetry:443"}}, []string{
		`--passthrough: "https://fleet-telemetry:443" is no target. Write it as host:port, such as fleet-telemetry:443 or [fd00::2]:443`,
	}},
	{"passthrough to a bad port", inputs{args: []string{"--passthrough=telemetry.example.com=fleet-telemetry:https"}}, []string{
		`--passthrough: "fleet-telemetry:https" has no valid port. Write a number from 1 to 65535 behind the last colon`,
	}},
	{"passthrough twice", inputs{args: []string{"--passthrough=*=a:1,*=b:2"}}, []string{
		`--passthrough: names * twice. Remove one of the two`,
	}},
	{"passthrough of the domain", inputs{args: []string{"--passthrough=example.com=app:443"}, env: []string{"WELLKEY_DOMAIN=example.com"}}, []string{
		`--passthrough: would give away example.com, which is the domain whose key is hosted. Give the other server a name of its own`,
	}},
	{"passthrough to us", inputs{args: []string{"--passthrough=telemetry.example.com=127.0.0.1:443"}}, []string{
		`--passthrough: leads telemetry.example.com to wellkey itself. Write the address at which the other server itself listens`,
	}},
	{"passthrough in upper case", inputs{args: []string{"--passthrough=*.Example.com.=a:1"}}, []string{
		`--passthrough: "*.Example.com." is not the bare name that clients ask for. Write *.example.com`,
	}},
	{"passthrough of a star within", inputs{args: []string{"--passthrough=a.*.example.com=a:1"}}, []string{
		`--passthrough: "a.*.example.com" has a star in another place than the first label. Write *.example.com for the names one label below example.com, or * for all`,
	}},
	{"passthrough of an address", inputs{args: []string{"--passthrough=192.0.2.1=a:1"}}, []string{
		`--passthrough: "192.0.2.1" is an IP address, and clients ask for a name. Write the name, such as telemetry.example.com`,
	}},
	{"passthrough without TLS", inputs{args: []string{"--tls=off", "--passthrough=telemetry.example.com=a:1"}}, []string{
		`--passthrough: is set, but tls is off, so that no TLS comes here. Pass the names through in the proxy in front, or set tls to acme or files`,
	}},
	{"header for nobody", inputs{args: []string{"--passthrough-proxy-protocol"}}, []string{
		`--passthrough-proxy-protocol: is set without passthrough. Set passthrough, or remove this`,
	}},
}

// The names below a public suffix may be somebody's own.
func TestPassthroughBelowASuffix(t *testing.T) {
	s := must(t, inputs{env: []string{"WELLKEY_DOMAIN=example.com", "WELLKEY_PASSTHROUGH=*.duckdns.org=a:1"}})
	if got := s.Passthrough.Routes[0].String(); got != "*.duckdns.org=a:1" {
		t.Errorf("got %s", got)
	}
}

func TestUpstreamWarnings(t *testing.T) {
	s := must(t, inputs{args: []string{"--domain=example.com", "--upstream=http://app", "--upstream-skip-verify", "--upstream-roots=$DIR/r"}, files: map[string]string{"r": "$ROOT"}})
	want := []string{
		"--upstream-roots: has no effect, since upstream is not https",
		"--upstream-skip-verify: has no effect, since upstream is not https",
	}
	if d := cmp.Diff(want, s.Warnings); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	behind := inputs{args: []string{"--domain=example.com", "--tls=off", "--upstream=http://app"}}
	want = []string{"--upstream: the application sees every visitor as the proxy in front, and http as the scheme: set trusted_proxies to the addresses from which the proxy connects"}
	if d := cmp.Diff(want, must(t, behind).Warnings); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	behind.args = append(behind.args, "--trusted-proxies=10.0.0.2")
	if w := must(t, behind).Warnings; w != nil {
		t.Errorf("got %q", w)
	}
}
