package config

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// SiteFlags are the settings of one site as a command line gives them, for a
// command that writes them into the file of that site.
type SiteFlags struct{ given map[string]string }

// NewSiteFlags returns flags of which none is given.
func NewSiteFlags() *SiteFlags { return &SiteFlags{map[string]string{}} }

// AddFlags registers a flag for every setting of one site but its domain. A secret
// has none; see Loader.AddFlags.
func (f *SiteFlags) AddFlags(flags *pflag.FlagSet) {
	for _, r := range siteRows() {
		if r.name == "domain" {
			continue
		}
		flag := flags.VarPF(siteFlag{flagValue{f.given, r}}, flagName(r.name), "", r.usage())
		flag.Hidden = r.secret
	}
}

// A siteFlag is a flagValue of a SiteFlags, which is none of the settings of the
// process.
type siteFlag struct{ flagValue }

func (f siteFlag) Set(text string) error { return f.flagValue.Set(text) }
func (f siteFlag) String() string        { return f.flagValue.String() }
func (f siteFlag) Type() string          { return f.row.kind }

// IsSetting reports whether a flag is a setting of the process.
func IsSetting(flag *pflag.Flag) bool {
	_, ok := flag.Value.(*flagValue)
	return ok
}

// NewSite checks what flags say of a site that is to have a file in sites_dir, and
// returns the site with the text of that file. Paths become absolute, since
// wellkey may run in another directory. Credentials that are there already must
// be good. The error is a *SiteError. Nothing is written.
func (s *Settings) NewSite(domain string, flags *SiteFlags) (Site, []byte, error) {
	var text bytes.Buffer
	given := map[string]string{}
	for _, r := range siteRows() {
		value, ok := flags.given[r.name]
		if !ok || value == "" {
			continue
		}
		given[r.name] = value
		if r.secret { // refused below
			continue
		}
		if what, _ := r.set(new(Settings), value); what == "" && r.kind == kindPath {
			absolute, err := filepath.Abs(value)
			if err != nil {
				return Site{}, nil, &SiteError{domain, &Fault{Setting: "--" + flagName(r.name), What: "cannot be made an absolute path: " + cause(err), Fix: "Write the whole path"}}
			}
			given[r.name] = absolute
		}
		line, err := yaml.Marshal(map[string]string{r.name: given[r.name]})
		if err != nil {
			return Site{}, nil, &SiteError{domain, fmt.Errorf("writing %s: %w", r.name, err)}
		}
		text.Write(line)
	}
	now := *s
	now.live = false
	reader := newSiteReader(&now)
	reader.flags = given
	site, err := reader.read(domain, file{path: s.SiteFile(domain), site: true}, "", nil, nil)
	return site, text.Bytes(), err
}
