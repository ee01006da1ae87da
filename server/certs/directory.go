package certs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"wellkey/internal/loopback"
)

// A Directory is an ACME CA.
type Directory struct {
	Name      string // as the operator writes it, or the host of the URL
	URL       string
	NeedsEAB  bool   // wants an external account binding
	eabSource string // where to get one
}

// directories are the CAs with a name of their own. Sources of the URLs:
// letsencrypt.org/docs/staging-environment, zerossl.com/documentation/acme,
// cloud.google.com/certificate-manager/docs/public-ca-tutorial.
func directories() []Directory {
	return []Directory{
		{Name: "letsencrypt", URL: "https://acme-v02.api.letsencrypt.org/directory"},
		{Name: "letsencrypt-staging", URL: "https://acme-staging-v02.api.letsencrypt.org/directory"},
		{Name: "zerossl", URL: "https://acme.zerossl.com/v2/DV90", NeedsEAB: true,
			eabSource: "ZeroSSL shows in the developer section of its dashboard (https://zerossl.com/documentation/acme/)"},
		{Name: "google", URL: "https://dv.acme-v02.api.pki.goog/directory", NeedsEAB: true,
			eabSource: `"gcloud publicca external-account-keys create" prints (https://cloud.google.com/certificate-manager/docs/public-ca-tutorial)`},
	}
}

// production reports whether the CA may have limits that last: all but Let's
// Encrypt's staging and what runs on this very machine, as in tests. A CA of the
// operator's own may have none, but that we cannot know.
func (d Directory) production() bool {
	u, err := url.Parse(d.URL)
	return err != nil || d.Name != "letsencrypt-staging" && !loopback.Is(u.Hostname())
}

// resolveDirectory returns the CA that name stands for: "letsencrypt",
// "letsencrypt-staging", "zerossl", "google", or the URL of an ACME directory.
func resolveDirectory(name string) (Directory, error) {
	var names []string
	for _, d := range directories() {
		if name == d.Name || name == d.URL {
			return d, nil
		}
		names = append(names, d.Name)
	}
	u, err := url.Parse(name)
	if err != nil || u.Host == "" {
		return Directory{}, fmt.Errorf("acme_directory %q is neither a URL nor one of %s", name, strings.Join(names, ", "))
	}
	if !loopback.Safe(u) {
		return Directory{}, fmt.Errorf("acme_directory %q must begin with https://", name)
	}
	if u.User != nil {
		return Directory{}, errors.New("acme_directory must not hold a user name or password")
	}
	return Directory{Name: u.Host, URL: name}, nil
}

// checkEAB returns an error where the CA cannot be asked with these, in words
// that name the settings of its role.
func (d Directory) checkEAB(role Role, eab *EAB) error {
	id, key := "acme_eab_key_id", "acme_eab_hmac_key"
	if role == Fallback {
		id, key = "acme_fallback_eab_key_id", "acme_fallback_eab_hmac_key"
	}
	if eab == nil {
		if d.NeedsEAB {
			return fmt.Errorf("the CA %q gives certificates only to accounts of its portal: set %s and %s, which %s", d.Name, id, key, d.eabSource)
		}
		return nil
	}
	if eab.KeyID == "" || eab.MACKey.IsZero() {
		return fmt.Errorf("%s and %s belong together, and one is missing: set both or none", id, key)
	}
	if _, err := base64.RawURLEncoding.DecodeString(trimPadding(eab.MACKey)); err != nil {
		return fmt.Errorf("%s is not base64url: copy it again from the CA's portal, whole and without quotes", key)
	}
	return nil
}
