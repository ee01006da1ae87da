package cli

import (
	"errors"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"wellkey/internal/config"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// A siteView is one site as the settings and its files say. Its JSON is stable:
// fields are added, never renamed or taken away.
type siteView struct {
	Domain   string            `json:"domain"` // as it stands in the settings
	Key      string            `json:"key_fingerprint,omitempty"`
	ClientID string            `json:"client_id,omitempty"`
	Regions  []fleetapi.Region `json:"regions"`
	Faults   []string          `json:"faults"`   // what keeps it from being hosted, or registered
	Warnings []string          `json:"warnings"` // what works, and somebody should look at
	Open     []string          `json:"open"`     // what is still to come

	// What the wellkey that runs says; left out where none answers, or it does not
	// host the site.
	State         string                              `json:"state,omitempty"`
	Registrations map[fleetapi.Region]registrar.State `json:"registrations,omitempty"`
}

// readSites looks at the sites of the settings one by one: how each is written, its
// key and its credentials, and whether another one has the same. Nothing is changed.
func readSites(s *config.Settings) iter.Seq[siteView] {
	return func(yield func(siteView) bool) {
		claims := newClaims()
		for site, err := range s.Sites() {
			if !yield(readSite(site, err, claims)) {
				return
			}
		}
	}
}

func readSite(site config.Site, err error, claims *claims) siteView {
	v := siteView{Domain: site.Domain, Regions: []fleetapi.Region{}, Faults: []string{}, Warnings: slices.Concat([]string{}, site.SiteWarnings), Open: []string{}}
	if err != nil {
		if bad, ok := errors.AsType[*config.SiteError](err); ok {
			v.Domain, err = bad.Name, bad.Err
		}
		v.Faults = append(v.Faults, strings.Split(err.Error(), "\n")...)
		return v
	}
	v.Regions = append(v.Regions, site.Regions...)
	keys, err := keyOf(site)
	switch {
	case err != nil:
		v.Faults = append(v.Faults, err.Error())
	case keys.Key().IsZero():
		v.Open = append(v.Open, "there is no key yet; wellkey makes it, where Tesla has none for this domain")
	default:
		v.Key = keys.Key().Fingerprint()
		v.Warnings = append(v.Warnings, keys.Status().Warnings...)
		if err := claims.key(site.Domain, keys.Key()); err != nil {
			v.Faults = append(v.Faults, "key file "+site.KeyFile+" "+err.Error())
		}
	}
	id, _, err := site.Application.Load()
	switch {
	case err != nil:
		v.Faults = append(v.Faults, strings.Split(err.Error(), "\n")...)
	case id == "":
		v.Open = append(v.Open, "there are no credentials yet; write them into "+strings.Join(site.Application.Files(), " and "))
	default:
		v.ClientID = id
		if err := claims.application(site.Domain, id); err != nil {
			v.Faults = append(v.Faults, err.Error())
		}
	}
	return v
}

// keyOf reads the key of a site as it would be hosted, and changes nothing.
func keyOf(site config.Site) (*keystore.Store, error) {
	return keystore.Open(keystore.Config{Path: site.KeyFile, RestoredPath: filepath.Join(site.Dir, "restored-key.pem")})
}
