package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// siteFile ends the name of a file in sites_dir; before it stands the domain.
const siteFile = ".yaml"

// siteText is what somebody wrote of one site, before it was checked.
type siteText struct {
	domain string // as it stands there
	file   file
	line   int
	node   *yaml.Node // a mapping; nil = the domain alone
}

// A SiteError says what is wrong with one of several sites. The others stand.
type SiteError struct {
	Name string // the domain as it stands there, or the name of the file
	Err  error  // holds one *Fault for everything that is wrong
}

// Error implements error.
func (e *SiteError) Error() string { return "site " + quote(e.Name) + ": " + e.Err.Error() }

// Unwrap returns the faults.
func (e *SiteError) Unwrap() error { return e.Err }

// Several reports whether the settings are for several sites, be it for none yet.
func (s *Settings) Several() bool { return s.SitesDir != "" || s.listed != nil }

// Listed counts the sites that are listed, good and bad: the entries of the list,
// and the files in sites_dir. None is read.
func (s *Settings) Listed() int {
	count := len(s.listed)
	if s.SitesDir == "" {
		return count
	}
	entries, err := os.ReadDir(s.SitesDir)
	if err != nil {
		return count // that is told where the sites are read
	}
	for _, e := range entries {
		if _, ok := SiteFileDomain(e.Name()); ok {
			count++
		}
	}
	return count
}

// Sites reads the sites one by one, those of the list first: each is either good,
// or comes with a *SiteError. A site whose domain another one has already comes
// with an error. Where there is one domain, it is the only site. What sites_dir
// holds beside files DOMAIN.yaml is passed over; the names are in order.
func (s *Settings) Sites() iter.Seq2[Site, error] {
	return func(yield func(Site, error) bool) {
		if !s.Several() {
			yield(s.Site, nil)
			return
		}
		r := newSiteReader(s)
		seen := map[string]bool{}
		once := func(name string, site Site, err error) bool {
			if err == nil && seen[site.Domain] {
				err = &SiteError{name, &Fault{What: "another site has this domain already", Fix: "Remove one of the two"}}
			}
			if err != nil {
				return yield(Site{}, err)
			}
			seen[site.Domain] = true
			return yield(site, nil)
		}
		for _, text := range s.listed {
			site, err := r.listed(text)
			if !once(text.domain, site, err) {
				return
			}
		}
		if s.SitesDir == "" {
			return
		}
		entries, err := os.ReadDir(s.SitesDir)
		if err != nil {
			what, fix := explainFile(s.SitesDir, err)
			yield(Site{}, &SiteError{s.SitesDir, &Fault{Setting: "sites_dir", What: what, Fix: fix}})
			return
		}
		for _, e := range entries {
			domain, ok := SiteFileDomain(e.Name())
			if !ok {
				continue
			}
			site, err := r.file(domain)
			if !once(domain, site, err) {
				return
			}
		}
	}
}

// SiteFileDomain returns the domain of a file in sites_dir by its name; false =
// it is no file of a site. Names that begin with a dot are of editors, and of
// tools that rename a file once it is whole.
func SiteFileDomain(name string) (domain string, ok bool) {
	domain, ok = strings.CutSuffix(name, siteFile)
	return domain, ok && domain != "" && !strings.HasPrefix(name, ".")
}

// SiteFile returns the path of the file of a domain in sites_dir, which must be
// set.
func (s *Settings) SiteFile(domain string) string {
	return filepath.Join(s.SitesDir, domain+siteFile)
}

// SiteDir returns the directory for the files of one of several sites.
func (s *Settings) SiteDir(domain string) string { return filepath.Join(s.DataDir, "sites", domain) }

// FindSite reads one of several sites by its domain. Where there is none, the
// error is fs.ErrNotExist; else it is a *SiteError.
func (s *Settings) FindSite(domain string) (Site, error) { return newSiteReader(s).find(domain) }

// SiteFinder returns FindSite for whoever calls it again and again: what is the same
// for all sites is made once.
func (s *Settings) SiteFinder() func(domain string) (Site, error) { return newSiteReader(s).find }

func (r siteReader) find(domain string) (Site, error) {
	for _, text := range r.settings.listed {
		if text.domain == domain {
			return r.listed(text)
		}
	}
	if r.settings.SitesDir == "" || CheckDomain(domain).What != "" { // which keeps the path within the directory
		return Site{}, fs.ErrNotExist
	}
	return r.file(domain)
}

// ForSite returns the settings of a process that works on one of several sites.
func (s *Settings) ForSite(site Site) *Settings {
	one := *s
	one.Site = site
	return &one
}

// A siteReader reads sites for the settings of a process.
type siteReader struct {
	settings *Settings
	rows     []row
	names    []string
	flags    map[string]string // what the command line says of the site; it wins
}

func newSiteReader(s *Settings) siteReader {
	return siteReader{settings: s, rows: siteRows(), names: names(func(r row) bool { return r.site })}
}

func (r siteReader) listed(text siteText) (Site, error) {
	entries := map[string]entry{}
	var faults []*Fault
	if text.node != nil {
		entries, faults = text.file.mapping(text.node, r.names)
	}
	return r.read(text.domain, text.file, text.file.at(text.line), entries, faults)
}

// file reads the file of a domain in sites_dir. The error is fs.ErrNotExist
// where there is none.
func (r siteReader) file(domain string) (Site, error) {
	path := r.settings.SiteFile(domain)
	data, mode, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Site{}, fs.ErrNotExist
	}
	if err != nil {
		what, fix := explainFile(path, err)
		return Site{}, &SiteError{domain, &Fault{What: what, Fix: fix}}
	}
	f := file{path: path, mode: mode, site: true}
	entries, faults := f.parse(data, r.names)
	if e, ok := entries["domain"]; ok && e.text != domain {
		faults = append(faults, &Fault{Setting: "domain", Where: e.where, What: quote(e.text) + " is not the name of the file, which is " + quote(domain+siteFile),
			Fix: "Remove the line: the domain is the name of the file without " + siteFile})
	}
	return r.read(domain, f, path, entries, faults)
}

// read checks what was written of a site, in a file or as flags. What it does not
// say is as the settings of the process say.
func (r siteReader) read(domain string, f file, where string, entries map[string]entry, faults []*Fault) (Site, error) {
	d := &draft{values: map[string]value{}, settings: *r.settings, live: r.settings.live}
	d.settings.Site, d.settings.Warnings = Site{Regions: r.settings.Regions}, nil
	d.take(faults)
	given := d.valuesOf(f, entries)
	given["domain"] = value{domain, fromFile, where}
	for _, row := range r.rows {
		d.values[row.name] = d.pick(row, r.flags, nil, given)
		if d.given(row.name) {
			d.apply(row)
		}
	}
	if d.sound("domain") {
		d.finishSite(r.settings.SiteDir(d.settings.Domain), nil)
	}
	if err := join(d.faults); err != nil {
		return Site{}, &SiteError{domain, err}
	}
	d.settings.SiteWarnings = d.settings.Warnings
	return d.settings.Site, nil
}

// readList takes in the list of sites of a file. Its items are checked when they
// are read as sites, so that a bad one leaves the others alone.
func (d *draft) readList(f file, e entry) {
	d.settings.listed = []siteText{}
	refuse := func(line int, what, fix string) {
		d.take([]*Fault{{Setting: "sites", Where: f.at(line), What: what, Fix: fix}})
	}
	if e.node.Kind != yaml.SequenceNode {
		refuse(e.line, "is no list", "Write a dash before each site, as in - domain: example.com")
		return
	}
	f.nested, f.site = nil, true
	for _, item := range e.node.Content {
		text := siteText{file: f, line: item.Line}
		switch item.Kind {
		case yaml.ScalarNode:
			text.domain = item.Value
		case yaml.MappingNode:
			text.node = item
			for i := 0; i+1 < len(item.Content); i += 2 {
				if item.Content[i].Value == "domain" {
					text.domain = item.Content[i+1].Value
				}
			}
		}
		if text.domain == "" {
			refuse(item.Line, "has a site without a domain", "Write - domain: example.com, and the other settings of the site below it")
			continue
		}
		d.settings.listed = append(d.settings.listed, text)
	}
}

// finishSeveral checks that nothing outside the sites says what only a site can,
// and loads the one that is wanted. What a command is told of that one by flags
// wins over what is written of it.
func (d *draft) finishSeveral() {
	reader := newSiteReader(&d.settings)
	reader.flags = map[string]string{}
	for _, r := range siteRows() {
		switch {
		case r.name == "domain":
		case !d.all && d.values[r.name].from == fromFlag:
			reader.flags[r.name] = d.values[r.name].text
		case r.name != "regions" && d.given(r.name):
			d.fault(r.name, "is set for the process, but there are several sites", "Write it into the entry of the site that it belongs to")
		}
	}
	wanted := d.argument
	if wanted != "" { // as people type it
		wanted = cmp.Or(CheckDomain(wanted).Domain, wanted)
	}
	switch given := d.given("domain"); {
	case d.all && given:
		d.fault("domain", "is set, and so are sites", "Remove it, and make it one of the sites")
		return
	case d.all || !d.sound("domain", "sites"):
		return
	case given:
		wanted = d.settings.Domain
	case wanted == "":
		d.fault("domain", "is not set, and the settings have several sites", "Name one of them, as in --domain example.com")
		return
	}
	site, err := reader.find(wanted)
	switch {
	case err == nil:
		d.settings.Site = site
	case errors.Is(err, fs.ErrNotExist) && !d.given("domain"):
		d.settings.Site = Site{Regions: d.settings.Regions} // a domain of somebody else's
	case errors.Is(err, fs.ErrNotExist):
		d.fault("domain", fmt.Sprintf("%s is none of the sites", quote(wanted)), "Name one that \"wellkey sites list\" shows")
	default:
		d.faults = append(d.faults, &Fault{What: err.Error(), Fix: "Fix the entry of the site"})
	}
}

// siteRows returns the settings that belong to one site.
func siteRows() []row {
	return slices.DeleteFunc(slices.Clone(table()), func(r row) bool { return !r.site })
}
