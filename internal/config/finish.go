package config

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"wellkey/registrar/fleetapi"
)

// finish fills in the defaults that depend on other settings, and checks the
// settings against each other.
func (d *draft) finish(environ []string) {
	several := d.settings.Several()
	if !several && d.sound("domain") && !d.given("domain") && d.argument == "" {
		d.fault("domain", "is not set, and everything depends on it",
			"Give --domain example.com, set WELLKEY_DOMAIN, or write domain: example.com into the file")
	}
	for _, warning := range domainWarnings(d.settings.Domain) {
		d.warn("domain", warning)
	}
	d.finishDirectories(environ)
	d.finishStorage()
	d.finishTLS()
	d.finishListeners()
	d.finishShapes()
	d.finishACME()
	d.finishDNS()
	if several {
		d.finishSeveral()
	} else {
		d.finishSite(d.settings.DataDir, environ)
	}
	for _, region := range fleetapi.Regions() {
		name := "tesla_api_url_" + string(region)
		if _, set := d.settings.Tesla.APIURLs[region]; set && d.sound(name, "regions") && !d.has(region) {
			d.warn(name, "has no effect, since regions does not name "+string(region))
		}
	}
}

func (d *draft) has(region fleetapi.Region) bool {
	for _, r := range d.settings.Regions {
		if r == region {
			return true
		}
	}
	return false
}

// finishDirectories finds the place for state as systemd and the XDG Base
// Directory Specification name it.
func (d *draft) finishDirectories(environ []string) {
	s := &d.settings
	if !d.given("data_dir") && d.placed() {
		// systemd separates several state directories with colons.
		state, _, _ := strings.Cut(lookup(environ, "STATE_DIRECTORY"), ":")
		share, home := lookup(environ, "XDG_DATA_HOME"), lookup(environ, "HOME")
		switch {
		case filepath.IsAbs(state):
			s.DataDir = state
		case filepath.IsAbs(share):
			s.DataDir = filepath.Join(share, "wellkey")
		case filepath.IsAbs(home):
			s.DataDir = filepath.Join(home, ".local/share/wellkey")
		default:
			d.fault("data_dir", "is not set, and there is no home directory to fall back to",
				"Set it to a directory that outlives restarts")
		}
	}
	if info, err := os.Stat(s.DataDir); err == nil && !info.IsDir() && d.sound("data_dir") {
		d.fault("data_dir", quote(s.DataDir)+" is a file", "Name a directory; it need not exist yet")
	}
}

// finishSite gives a site its places below dir, and checks its settings.
func (d *draft) finishSite(dir string, environ []string) {
	s := &d.settings.Site
	s.Dir = dir
	if !d.given("key_file") && dir != "" {
		s.KeyFile = filepath.Join(dir, "key.pem")
	}
	d.wantSharedKey()
	d.finishApplication(environ)
}

// placed reports whether the settings have places of their own where none are
// named. Those that belong to no domain have none: whatever lies there is of
// another domain than the one that the command was given.
func (d *draft) placed() bool { return d.given("domain") || d.argument == "" || d.settings.Several() }

func (d *draft) finishTLS() {
	if !d.sound("tls") {
		return
	}
	mode := d.settings.TLS.Mode
	for _, name := range []string{"tls_cert_file", "tls_key_file"} {
		switch {
		case mode == TLSFiles && !d.given(name) && d.sound(name):
			d.fault(name, "is not set, and tls is files", "Set it to the path of the file, or tls to acme")
		case mode != TLSFiles && d.given(name):
			d.fault(name, "is set, but tls is "+string(mode), "Set tls to files, or remove this")
		}
	}
	if mode == TLSACME {
		return
	}
	for _, name := range names(func(r row) bool { return strings.HasPrefix(r.name, "acme_") || strings.HasPrefix(r.name, "dns_") }) {
		if d.given(name) {
			d.warn(name, "has no effect, since tls is "+string(mode))
		}
	}
}

func (d *draft) finishListeners() {
	s := &d.settings
	if !d.sound("http_addr", "https_addr", "admin_addr", "tls") {
		return
	}
	switch {
	case s.TLS.Mode == TLSOff && d.given("https_addr") && d.values["https_addr"].from != fromEnvironment:
		d.fault("https_addr", "is set, but tls is off, so that HTTPS is the business of the proxy in front", "Remove it, or set tls to acme or files")
	case s.TLS.Mode == TLSOff:
		// The image sets the variable for everybody, so it is not the user's
		// contradiction.
		s.HTTPSAddr = ""
	case s.HTTPSAddr == "":
		d.fault("https_addr", "is empty, but tls is "+string(s.TLS.Mode)+", which serves HTTPS", "Set an address such as :443, or tls to off behind a proxy that ends TLS")
		return
	}
	if s.HTTPAddr == "" && s.HTTPSAddr == "" {
		d.fault("http_addr", "is empty, so that nothing serves the key", "Set an address such as :80")
	}
	if s.AdminAddr == "" && d.given("admin_web_config") {
		d.warn("admin_web_config", "has no effect, since admin_addr is empty")
	}
	addresses := []struct{ name, addr string }{{"http_addr", s.HTTPAddr}, {"https_addr", s.HTTPSAddr}, {"admin_addr", s.AdminAddr}}
	for i, later := range addresses {
		for _, earlier := range addresses[:i] {
			if overlap(earlier.addr, later.addr) {
				d.fault(later.name, "is "+later.addr+", which overlaps with "+earlier.name+" "+earlier.addr, "Choose another port for one of the two")
			}
		}
	}
}

// overlap reports whether two listeners cannot have these addresses at the same
// time. Port 0 is another port each time.
func overlap(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	all := func(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }
	return portA == portB && portA != "0" && (hostA == hostB || all(hostA) || all(hostB))
}

// exclusive refuses two settings that say the same in two ways. The fault names
// the later one.
func (d *draft) exclusive(first, second string) {
	if d.given(first) && d.given(second) {
		d.fault(second, "is set, and so is "+spell(first, d.values[first].from), "Remove one of the two")
	}
}
