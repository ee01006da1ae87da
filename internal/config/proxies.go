package config

import (
	"net/url"
	"slices"
	"strings"
)

// proxyVariables name the proxy by which net/http reaches Tesla, authorities and
// providers of DNS. They are no settings of ours, but checked with them: of one that
// it cannot read net/http says nothing and uses none, and of a password that is not
// percent-encoded it takes a part for the host's name, and so looks that up and says
// it in errors.
//
// Source: https://pkg.go.dev/net/http#ProxyFromEnvironment
var proxyVariables = []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"}

// checkProxies notes which of the proxies are none. It tells nothing of their values,
// which may hold a password anywhere.
func (d *draft) checkProxies(environ []string) {
	for _, variable := range proxyVariables {
		if what := proxyFault(lookup(environ, variable)); what != "" {
			d.faults = append(d.faults, &Fault{Setting: variable, What: what,
				Fix: "Write http://user:password@host:3128, where what is special in a user or password is percent-encoded (% as %25, / as %2F, @ as %40, # as %23, ? as %3F); or unset it"})
		}
	}
}

// proxyFault returns what is wrong with a proxy, "" if nothing. A host alone is
// one, too.
func proxyFault(text string) string {
	if text == "" {
		return ""
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "is no URL of a proxy"
	case !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme):
		return "has a scheme that is none of http, https, socks5 and socks5h"
	case u.Hostname() == "":
		return "names no host"
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "has more behind the host, which a proxy has not"
	}
	return ""
}
