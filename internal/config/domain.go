package config

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"wellkey/internal/phrase"
)

func setDomain(s *Settings, text string) (what, fix string) {
	spelling := CheckDomain(text)
	s.Domain = spelling.Domain
	return spelling.What, spelling.Fix
}

// A Spelling says how a domain that somebody typed must be written.
type Spelling struct {
	Domain    string   // bare, lower-case, in Punycode where it is not ASCII; "" where text holds no domain that Tesla accepts
	What, Fix string   // what is wrong with the text, and what to do; "" if nothing, else as in Fault
	Warnings  []string // what works and may still keep the domain from being registered; phrases
}

// CheckDomain reads a domain as people type it: with a scheme, a path, capitals,
// or letters beyond ASCII.
func CheckDomain(text string) Spelling {
	bare, extra := bareHost(text)
	if what, fix := checkHost(bare); what != "" {
		return Spelling{What: quote(text) + " " + what, Fix: fix}
	}
	s := Spelling{Domain: bare, Warnings: domainWarnings(bare)}
	if len(extra) > 0 {
		s.What, s.Fix = quote(text)+" has "+phrase.List(extra), "Write "+bare
	}
	return s
}

// bareHost returns the host name inside text, lower-case and in Punycode, and
// names all that text has and a bare host has not.
func bareHost(text string) (bare string, extra []string) {
	bare = strings.TrimSpace(text)
	note := func(present bool, what string) {
		if present {
			extra = append(extra, what)
		}
	}
	note(bare != text, "white space around it")
	if _, rest, ok := strings.Cut(bare, "://"); ok {
		bare = rest
		extra = append(extra, "a scheme")
	}
	if end := strings.IndexAny(bare, "/?#"); end >= 0 {
		note(end < len(bare)-1, "a path")
		note(end == len(bare)-1, "a slash at the end")
		bare = bare[:end]
	}
	if rest, ok := strings.CutPrefix(bare, "["); ok {
		bare, _, _ = strings.Cut(rest, "]")
		extra = append(extra, "brackets")
	}
	if _, err := netip.ParseAddr(bare); err != nil { // the colons of an IPv6 address are no port
		if host, _, ok := strings.Cut(bare, ":"); ok {
			bare = host
			extra = append(extra, "a port")
		}
	}
	if trimmed := strings.TrimRight(bare, "."); trimmed != bare {
		bare = trimmed
		extra = append(extra, "a dot at the end")
	}
	if strings.ContainsFunc(bare, func(c rune) bool { return c > 0x7f }) {
		if ascii, err := idna.Lookup.ToASCII(bare); err == nil {
			return ascii, append(extra, "letters beyond ASCII")
		}
	}
	lower := strings.ToLower(bare)
	note(lower != bare, "upper-case letters")
	return lower, extra
}

// checkHost says what keeps host, which is lower-case, from being a domain that
// Tesla and a public certificate authority accept.
func checkHost(host string) (what, fix string) {
	const write = "Write the bare host name that owners shall see, such as example.com"
	if host == "" {
		return "holds no host name", write
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return "is an IP address", "Tesla requires a host name; " + strings.ToLower(write[:1]) + write[1:]
	}
	if len(host) > 253 {
		return fmt.Sprintf("is %d characters long, and DNS allows 253", len(host)), "Choose a shorter name"
	}
	for label := range strings.SplitSeq(host, ".") {
		if what, fix := checkLabel(label); what != "" {
			return what, fix
		}
	}
	if !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") {
		return "is known on this machine or network only", write
	}
	if last := host[strings.LastIndex(host, ".")+1:]; strings.Trim(last, "0123456789") == "" {
		return "ends in a number, as no host name does", write
	}
	if _, err := idna.Lookup.ToUnicode(host); err != nil {
		return "is no valid internationalized name", "Check the part that begins with xn--"
	}
	if suffix, _ := publicsuffix.PublicSuffix(host); suffix == host {
		return "is a public suffix, under which everybody may have names", "Write the name below it that is yours, such as example." + host
	}
	return "", ""
}

// checkLabel says what is wrong with one part of a host name (RFC 1123, section
// 2.1; RFC 1035, section 2.3.4).
func checkLabel(label string) (what, fix string) {
	wrong := strings.IndexFunc(label, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	})
	switch {
	case label == "":
		return "has two dots in a row, or begins with one", "Remove the dot"
	case label == "*":
		return "is a wildcard", "Write one host name: Tesla registers one"
	case strings.Contains(label, "_"):
		return "has an underscore, and certificates allow none in a host name", "Choose a name with letters, digits and hyphens"
	case wrong >= 0:
		return "has the character " + fmt.Sprintf("%q", []rune(label[wrong:])[0]) + ", and host names allow letters, digits and hyphens", "Remove it"
	case strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-"):
		return "has a part that begins or ends with a hyphen", "Remove the hyphen"
	case len(label) > 63:
		return fmt.Sprintf("has a part of %d characters, and DNS allows 63 between two dots", len(label)), "Choose a shorter name"
	}
	return "", ""
}

// domainWarnings returns what works and may still keep the domain from being
// registered.
func domainWarnings(domain string) []string {
	var warnings []string
	if strings.Contains(domain, "tesla") {
		warnings = append(warnings, `the name holds "tesla", which Tesla's portal refuses for new applications; those that have it keep it`)
	}
	for _, private := range []string{".local", ".lan", ".home", ".internal", ".home.arpa"} {
		if strings.HasSuffix(domain, private) {
			warnings = append(warnings, "names under "+private+" are not in the public DNS, so that Tesla cannot fetch the key")
		}
	}
	return warnings
}
