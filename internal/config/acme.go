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
func (a Authority) Issuer() string {
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

// directory returns a setter of an authority's directory.
func directory(of func(*Settings) *Authority) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		if known, ok := directories[text]; ok {
			of(s).Directory = known
			return "", ""
		}
		if !strings.Contains(text, "://") {
			return choose(text, "letsencrypt", "letsencrypt-staging", "zerossl", "google", "an https URL")
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
			return "is no https URL of a directory", "Write it as the certificate authority documents it, such as " + directories["letsencrypt"]
		}
		of(s).Directory = text
		return "", ""
	}
}

func first(s *Settings) *Authority    { return &s.ACME.Authority }
func fallback(s *Settings) *Authority { return &s.ACME.Fallback }

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

// eabKeyID returns a setter of the key id of an account binding.
func eabKeyID(of func(*Settings) *Authority) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		if strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return "holds white space or characters beyond ASCII", "Copy it from the certificate authority again, alone"
		}
		of(s).EABKeyID = text
		return "", ""
	}
}

// eabKey returns a setter of the key of an account binding. It does not show the
// text.
func eabKey(of func(*Settings) *Authority) func(*Settings, string) (what, fix string) {
	return func(s *Settings, text string) (what, fix string) {
		bare := strings.TrimRight(text, "=")
		if key, err := base64.RawURLEncoding.DecodeString(bare); err != nil || len(key) == 0 {
			return "is not in base64url (letters, digits, - and _)", "Copy the HMAC key from the certificate authority again, alone"
		}
		of(s).EABHMACKey = secret.New(bare)
		return "", ""
	}
}

// finishACME checks what belongs together for the authorities.
func (d *draft) finishACME() {
	d.finishBinding("acme_", first)
	d.finishBinding("acme_fallback_", fallback)
	d.finishFallback()
}

// finishBinding reads the key file of an account binding, and checks that the
// binding is whole, and there where it is wanted. The names of the settings begin
// with prefix.
func (d *draft) finishBinding(prefix string, of func(*Settings) *Authority) {
	directoryName, idName, keyName := prefix+"directory", prefix+"eab_key_id", prefix+"eab_hmac_key"
	fileName := keyName + "_file"
	d.exclusive(keyName, fileName)
	if d.given(fileName) && d.sound(keyName, fileName) {
		d.readSecret(fileName, eabKey(of))
	}
	id, key, given := d.given(idName), d.given(keyName), keyName
	if d.given(fileName) {
		key, given = true, fileName
	}
	switch {
	case id && !key && d.sound(idName):
		d.fault(idName, "is set without "+keyName, "Set "+fileName+" too: the certificate authority gives both")
	case key && !id && d.sound(given):
		d.fault(given, "is set without "+idName, "Set "+idName+" too: the certificate authority gives both")
	}
	directory := d.values[directoryName].text
	if (directory == "zerossl" || directory == "google") && !id && !key && d.settings.TLS.Mode == TLSACME {
		d.fault(directoryName, "is "+directory+", which requires an external account binding", "Set "+idName+" and "+fileName+", as the authority's console gives them")
	}
}

// readSecret reads the file of a secret, and sets what is in it.
func (d *draft) readSecret(name string, set func(*Settings, string) (what, fix string)) {
	path := d.values[name].text
	data, mode, err := d.settings.readOnce(path)
	if err != nil {
		what, fix := explainFile(path, err)
		d.fault(name, what, fix)
		return
	}
	text := oneLine(data)
	if text == "" {
		d.fault(name, quote(path)+" is empty", "Write the secret into it, alone")
		return
	}
	if what, fix := set(&d.settings, text); what != "" {
		d.fault(name, "the value in "+quote(path)+" "+what, fix)
	}
	if readableByAll(path, mode) {
		d.warn(name, "every user of the machine can read "+quote(path)+": chmod 600 it")
	}
}

// finishFallback checks that the second authority can help where the first fails.
func (d *draft) finishFallback() {
	const name = "acme_fallback_directory"
	if d.settings.TLS.Mode != TLSACME || !d.sound("acme_directory", name) {
		return
	}
	a := &d.settings.ACME
	switch {
	case a.Fallback.Directory == "":
		for _, other := range names(func(r row) bool { return strings.HasPrefix(r.name, "acme_fallback_") }) {
			if d.given(other) {
				d.warn(other, "has no effect, since "+name+" is not set")
			}
		}
	case a.Fallback.Directory == a.Directory:
		d.fault(name, "is the authority of acme_directory, so it fails when that one does", "Name another one, or leave it out")
	case a.Fallback.Directory == directories["letsencrypt-staging"]:
		d.warn(name, "is letsencrypt-staging, whose certificates neither Tesla nor phones trust: name an authority that they trust")
	}
}
