package config

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"wellkey/internal/loopback"
)

// An Upstream is the operator's application, which gets every request that is
// not ours. Of it at most one of Addr and Socket is set; neither is none.
type Upstream struct {
	Scheme     string         // "http" or "https"
	Addr       string         // host, or host:port
	Socket     string         // path of a Unix socket
	RootsFile  string         // where Roots came from, or ""
	Roots      *x509.CertPool // nil is the system's
	SkipVerify bool           // any certificate will do
}

// Given reports whether there is one.
func (u Upstream) Given() bool { return u.Scheme != "" }

// String returns u as a user writes it.
func (u Upstream) String() string {
	switch {
	case u.Socket != "":
		return "unix:" + u.Socket
	case u.Given():
		return u.Scheme + "://" + u.Addr
	}
	return ""
}

// A Passthrough leads connections for other names than the domain to other
// servers, as they are.
type Passthrough struct {
	Routes        []PassthroughRoute // in the order given, each name once
	ProxyProtocol bool               // tell the targets who the client is
}

// A PassthroughRoute is one name with its target.
type PassthroughRoute struct {
	Name   string // lower-case host; "*." and a host for the names one label below; "*" for all others
	Target string // host:port
}

// String returns r as a user writes it.
func (r PassthroughRoute) String() string { return r.Name + "=" + r.Target }

func setTrustedProxies(s *Settings, text string) (what, fix string) {
	var trusted []netip.Prefix
	for _, item := range items(text) {
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			ip, plain := netip.ParseAddr(item)
			if plain != nil || ip.Zone() != "" {
				return quote(item) + " is neither an IP address nor a range of them", "Write addresses as proxies connect from them, such as 10.0.0.2, 172.16.0.0/12 or fd00::/8"
			}
			ip = ip.Unmap()
			prefix = netip.PrefixFrom(ip, ip.BitLen())
		}
		switch {
		case prefix.Bits() == 0:
			return quote(item) + " trusts everybody, so that every visitor could pretend to be another", "Write the addresses of the proxies, or of the network in which nobody else is"
		case prefix.Masked() != prefix:
			return quote(item) + " is an address with the length of a range", "Write " + prefix.Masked().String() + " for the range, or " + prefix.Addr().String() + " for the address"
		}
		trusted = append(trusted, prefix)
	}
	s.TrustedProxies = trusted
	return "", ""
}

func setProxyProtocol(s *Settings, text string) (what, fix string) {
	s.ProxyProtocol = text == "on"
	return choose(text, "off", "on")
}

func setUpstream(s *Settings, text string) (what, fix string) {
	const example = "http://app:8080, https://app:8443 or unix:/run/app.sock"
	if socket, ok := strings.CutPrefix(text, "unix:"); ok {
		socket = "/" + strings.TrimLeft(socket, "/") // unix:///run/app.sock is common too
		if socket == "/" {
			return quote(text) + " names no socket", "Write the whole path, as in unix:/run/app.sock"
		}
		s.Upstream.Scheme, s.Upstream.Socket, s.Upstream.Addr = "http", filepath.Clean(socket), ""
		return "", ""
	}
	u, err := url.Parse(text)
	switch {
	case err == nil && u.User != nil:
		return "has a user name or password in it", "Remove both: wellkey passes on what visitors send"
	case !strings.Contains(text, "://"):
		return quote(text) + " has no scheme", "Write it as in " + example
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return quote(text) + " is no address of an application", "Write it as in " + example
	case strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return quote(text) + " has more behind the host, but paths are passed on as they are", "Write " + u.Scheme + "://" + u.Host
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if _, err := parsePort(port, 1); err != nil {
			return quote(text) + " has no valid port", "Write a number from 1 to 65535 behind the last colon"
		}
	}
	s.Upstream.Scheme, s.Upstream.Addr, s.Upstream.Socket = u.Scheme, strings.ToLower(u.Host), ""
	return "", ""
}

func setPassthrough(s *Settings, text string) (what, fix string) {
	var routes []PassthroughRoute
	for _, item := range items(text) {
		name, target, ok := strings.Cut(item, "=")
		name, target = strings.TrimSpace(name), strings.TrimSpace(target)
		if !ok {
			return quote(item) + " is not a name and a target", "Write it as in telemetry.example.com=fleet-telemetry:443"
		}
		if what, fix := checkPassthroughName(name); what != "" {
			return what, fix
		}
		host, port, err := net.SplitHostPort(target)
		if err != nil || host == "" || strings.Contains(target, "/") {
			return quote(target) + " is no target", "Write it as host:port, such as fleet-telemetry:443 or [fd00::2]:443"
		}
		if _, err := parsePort(port, 1); err != nil {
			return quote(target) + " has no valid port", "Write a number from 1 to 65535 behind the last colon"
		}
		if slices.ContainsFunc(routes, func(r PassthroughRoute) bool { return r.Name == name }) {
			return "names " + name + " twice", "Remove one of the two"
		}
		routes = append(routes, PassthroughRoute{name, target})
	}
	s.Passthrough.Routes = routes
	return "", ""
}

// checkPassthroughName takes a host as checkHost does, one with a star for its
// first label, or a star alone.
func checkPassthroughName(name string) (what, fix string) {
	if name == "*" {
		return "", ""
	}
	host := strings.TrimPrefix(name, "*.")
	if strings.Contains(host, "*") {
		return quote(name) + " has a star in another place than the first label", "Write *.example.com for the names one label below example.com, or * for all"
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return quote(name) + " is an IP address, and clients ask for a name", "Write the name, such as telemetry.example.com"
	}
	bare, extra := bareHost(host)
	if what, fix := checkHost(bare); what != "" && !(host != name && strings.Contains(what, "public suffix")) {
		return quote(name) + " " + what, strings.Replace(fix, "owners shall see", "clients ask for", 1)
	}
	if len(extra) > 0 {
		return quote(name) + " is not the bare name that clients ask for", "Write " + strings.TrimSuffix(name, host) + bare
	}
	return "", ""
}

// finishShapes checks what stands around the listeners against the rest.
func (d *draft) finishShapes() {
	s := &d.settings
	if s.ProxyProtocol && d.sound("trusted_proxies") && len(s.TrustedProxies) == 0 {
		d.fault("proxy_protocol", "is on, but nobody is trusted to say who the client is", "Set trusted_proxies to the addresses of the proxies")
	}
	for _, name := range []string{"upstream_roots", "upstream_skip_verify"} {
		switch {
		case !d.given(name) || !d.sound(name, "upstream") || d.values[name].text == "false":
		case !s.Upstream.Given():
			d.fault(name, "is set without upstream", "Set upstream to the address of the application, or remove this")
		case s.Upstream.Scheme != "https":
			d.warn(name, "has no effect, since upstream is not https")
		case name == "upstream_skip_verify" && s.Upstream.Roots != nil:
			d.fault(name, "is true, and upstream_roots names the certificates to check against", "Remove one of the two")
		}
	}
	if d.sound("upstream", "domain") && s.Upstream.Addr != "" && d.isUs(s.Upstream.Addr, s.Upstream.Scheme) {
		d.fault("upstream", "is wellkey itself, so that requests would go round in circles", "Write the address at which the application itself listens")
	}
	if s.Upstream.Given() && s.TLS.Mode == TLSOff && len(s.TrustedProxies) == 0 && d.sound("trusted_proxies") {
		d.warn("upstream", "the application sees every visitor as the proxy in front, and http as the scheme: set trusted_proxies to the addresses from which the proxy connects")
	}
	d.finishPassthrough()
}

func (d *draft) finishPassthrough() {
	s := &d.settings
	if d.given("passthrough_proxy_protocol") && s.Passthrough.ProxyProtocol && d.sound("passthrough") && len(s.Passthrough.Routes) == 0 {
		d.fault("passthrough_proxy_protocol", "is set without passthrough", "Set passthrough, or remove this")
	}
	if !d.given("passthrough") || !d.sound("passthrough", "tls") {
		return
	}
	if s.TLS.Mode == TLSOff {
		d.fault("passthrough", "is set, but tls is off, so that no TLS comes here", "Pass the names through in the proxy in front, or set tls to acme or files")
		return
	}
	for _, r := range s.Passthrough.Routes {
		switch {
		case r.Name == s.Domain:
			d.fault("passthrough", "would give away "+r.Name+", which is the domain whose key is hosted", "Give the other server a name of its own")
		case d.isUs(r.Target, "https"):
			d.fault("passthrough", "leads "+r.Name+" to wellkey itself", "Write the address at which the other server itself listens")
		}
	}
}

// isUs reports whether addr surely is a public listener of this process: the
// domain itself, or this machine's loopback at a port that is ours.
func (d *draft) isUs(addr, scheme string) bool {
	s := &d.settings
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = strings.Trim(addr, "[]"), map[string]string{"http": "80", "https": "443"}[scheme]
	}
	if host == s.Domain && s.Domain != "" {
		return true
	}
	if !loopback.Is(host) {
		return false
	}
	for _, ours := range []string{s.HTTPAddr, s.HTTPSAddr} {
		if overlap(ours, net.JoinHostPort(host, port)) {
			return true
		}
	}
	return false
}
