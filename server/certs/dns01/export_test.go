package dns01

import "net/http"

// Algorithms are those by which an update can be signed.
var Algorithms = algorithms

// AddAccount adds an account to the file at path.
func AddAccount(path, domain string) error {
	all, err := readAccounts(path)
	if err != nil {
		return err
	}
	if err := all.add(domain, account{FullDomain: "f.auth.example", Subdomain: "f", Username: "u", Password: "p"}); err != nil {
		return err
	}
	return all.write(path)
}

// Through has a provider reached by transport.
func Through(p Provider, transport http.RoundTripper) {
	switch p := p.(type) {
	case *cloudflare:
		p.client.Transport = transport
	case *httpReq:
		p.client.Transport = transport
	case *acmeDNS:
		p.client.Transport = transport
	}
}
