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
// it in errors. Of each pair it reads the first that is not empty.
//
// Source: https://pkg.go.dev/golang.org/x/net/http/httpproxy#FromEnvironment
var proxyVariables = [][2]string{{"HTTP_PROXY", "http_proxy"}, {"HTTPS_PROXY", "https_proxy"}}

// checkProxies notes which of the proxies are none. It tells nothing of their values,
// which may hold a password anywhere.
func (d *draft) checkProxies(environ []string) {
	for _, pair := range proxyVariables {
		variable := pair[0]
		if lookup(environ, variable) == "" {
			variable = pair[1]
		}
		if what := proxyFault(lookup(environ, variable)); what != "" {
			d.faults = append(d.faults, &Fault{Setting: variable, What: what,
				Fix: "Write http://user:password@host:3128, where what is special in a user or password is percent-encoded (% as %25, / as %2F, @ as %40, # as %23, ? as %3F); or unset it"})
		}
	}
}

// proxyFault returns what is wrong with a proxy, "" if nothing. A host alone is
// one, too, and so is one with a path, which net/http ignores, unless it looks like the
// rest of a password.
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
	case strings.Contains(u.Path+u.RawQuery+u.Fragment, "@"):
		return "has an @ behind the host, as where a password holds one of /?#"
	}
	return ""
}
