package config

import (
	"encoding/base64"
	"net/mail"
	"net/url"
	"strings"

	"wellkey/internal/secret"
)

// directories are the certificate authorities that have a name here.
//
// Sources: https://letsencrypt.org/getting-started/,
// https://letsencrypt.org/docs/staging-environment/,
// https://zerossl.com/documentation/acme/,
// https://cloud.google.com/certificate-manager/docs/public-ca-tutorial
var directories = map[string]string{
	"letsencrypt":         "https://acme-v02.api.letsencrypt.org/directory",
	"letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
	"zerossl":             "https://acme.zerossl.com/v2/DV90",
	"google":              "https://dv.acme-v02.api.pki.goog/directory",
}

// Issuer returns the name by which CAA records let the authority issue, or ""
// where it is not known.
//
// Sources: https://letsencrypt.org/docs/caa/,
// https://developers.google.com/public-key-infrastructure/dns-debugging,
// https://help.zerossl.com/hc/en-us/articles/360060119753 (ZeroSSL's issuer is
// Sectigo's)
func (a ACME) Issuer() string {
	u, err := url.Parse(a.Directory)
	if err != nil {
		return ""
	}
	for _, known := range []struct{ host, issuer string }{
		{"letsencrypt.org", "letsencrypt.org"},
		{"pki.goog", "pki.goog"},
		{"zerossl.com", "sectigo.com"},
		{"sectigo.com", "sectigo.com"},
	} {
		if strings.HasSuffix("."+u.Hostname(), "."+known.host) {
			return known.issuer
		}
	}
	return ""
}

func setDirectory(s *Settings, text string) (what, fix string) {
	if known, ok := directories[text]; ok {
		s.ACME.Directory = known
		return "", ""
	}
	if !strings.Contains(text, "://") {
		return choose(text, "letsencrypt", "letsencrypt-staging", "zerossl", "google", "an https URL")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return "is no https URL of a directory", "Write it as the certificate authority documents it, such as " + directories["letsencrypt"]
	}
	s.ACME.Directory = text
	return "", ""
}

func setEmail(s *Settings, text string) (what, fix string) {
	if rest, ok := strings.CutPrefix(text, "mailto:"); ok {
		return quote(text) + " has a scheme", "Write " + quote(rest)
	}
	parsed, err := mail.ParseAddress(text)
	if err != nil || parsed.Address != text || !strings.Contains(text[strings.LastIndex(text, "@"):], ".") {
		return quote(text) + " is no e-mail address", "Write it bare, such as ops@example.com, or leave it out"
	}
	s.ACME.Email = text
	return "", ""
}

func setProfile(s *Settings, text string) (what, fix string) {
	if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return quote(text) + " is no name of a profile", "Write one of the names in the authority's directory, such as classic"
	}
	s.ACME.Profile = text
	return "", ""
}

func setEABKeyID(s *Settings, text string) (what, fix string) {
	if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return "holds white space or characters beyond ASCII", "Copy it from the certificate authority again, alone"
	}
	s.ACME.EABKeyID = text
	return "", ""
}

// setEABKey does not show the text.
func setEABKey(s *Settings, text string) (what, fix string) {
	bare := strings.TrimRight(text, "=")
	if key, err := base64.RawURLEncoding.DecodeString(bare); err != nil || len(key) == 0 {
		return "is not in base64url (letters, digits, - and _)", "Copy the HMAC key from the certificate authority again, alone"
	}
	s.ACME.EABHMACKey = secret.New(bare)
	return "", ""
}
