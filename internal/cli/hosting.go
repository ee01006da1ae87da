package cli

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/logtag"
	"wellkey/keystore"
	"wellkey/registrar"
)

// A hosted is a site at work: its key and its application. Its certificate and its
// registrations are kept by certs and registrar, under its domain.
type hosted struct {
	site        *config.Site
	keys        *keystore.Store
	application *application
}

// openSite begins the work for a site. Where it was hosted before, as former, the
// key goes on being served until the new one stands.
func (d *daemon) openSite(site config.Site, former *hosted) (*hosted, error) {
	h := &hosted{site: &site}
	wake := func() { d.registrar.Wake(site.Domain) }
	log := d.log
	if d.settings.Several() {
		log = logtag.With(log, zap.String("domain", site.Domain))
	}
	d.warnOfSandbox(site, log)
	var err error
	h.keys, err = keystore.Open(keystore.Config{
		Path:         site.KeyFile,
		RestoredPath: filepath.Join(site.Dir, "restored-key.pem"),
		Logger:       log,
		Allow:        func(key keystore.Key) error { return d.claims.key(site.Domain, key) },
		OnChange: func(key keystore.Key) {
			if err := d.claims.key(site.Domain, key); err != nil { // one that was restored: it is what Tesla has
				log.Error("two sites use the same key", zap.Error(err))
			}
			wake()
		},
	})
	if err != nil {
		return nil, err
	}
	h.application = newApplication(&site, d.tesla, d.claims, log)
	h.application.onChange = wake
	if former != nil {
		d.registrar.Remove(site.Domain)
	} else {
		d.certificates.Add(site.Domain)
	}
	return h, d.registrar.Add(registrar.Site{
		Domain:      site.Domain,
		Regions:     site.Regions,
		Accept:      accepted(&site, d.store, log),
		Keys:        h.keys,
		Application: h.application.get,
		Certificate: func() bool { return d.certificates.Has(site.Domain) },
	})
}

// closeSite ends the work for a site. What is stored of it stays.
func (d *daemon) closeSite(h *hosted) {
	d.registrar.Remove(h.site.Domain)
	d.certificates.Remove(h.site.Domain)
	d.claims.release(h.site.Domain)
}

// key returns the key of a host, the zero Key where there is none (yet).
func (d *daemon) key(host string) keystore.Key {
	if d.only != nil {
		return d.only.keys.Key()
	}
	if h, ours := d.sites.Find(host); ours {
		return h.keys.Key()
	}
	return keystore.Key{}
}

// ours returns what tells hosts of ours from others; nil = there is one domain.
func (d *daemon) ours() func(host string) bool {
	if !d.settings.Several() {
		return nil
	}
	return func(host string) bool { _, ours := d.sites.Find(host); return ours }
}

// missing returns what opens the site of a visitor whose turn has not come yet;
// nil = there is one domain.
func (d *daemon) missing() func(name string) {
	if !d.settings.Several() {
		return nil
	}
	return func(name string) { d.sites.Find(name) }
}

// all calls yield for each site, until it returns false.
func (d *daemon) all(yield func(domain string, h *hosted) bool) {
	if d.only != nil {
		yield(d.only.site.Domain, d.only)
		return
	}
	d.sites.All(yield)
}

// reloadSites reads anew which sites there are, and the files of all.
func (d *daemon) reloadSites(ctx context.Context) error {
	var errs []error
	if d.only == nil {
		errs = append(errs, d.sites.Reload(ctx))
	}
	for _, h := range d.all {
		errs = append(errs, h.reload())
	}
	return errors.Join(errs...)
}

// reload reads the files of a site anew.
func (h *hosted) reload() error { return errors.Join(h.keys.Reload(), h.application.reload(true)) }

const (
	// followEvery is how often the files of a site are looked at: a few hundred
	// bytes. A watch would miss how Kubernetes swaps them.
	followEvery = 2 * time.Second

	// followAtATime bounds how many sites are looked at in that time, so that a
	// hundred thousand of them cost a few percent of a processor.
	followAtATime = 1000
)

// followSites looks at the files of all sites, in turns, until ctx is done.
func (d *daemon) followSites(ctx context.Context) error {
	d.awaitLoaded(ctx) // just read
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		looked := 0
		for _, h := range d.all {
			d.panics.Do(func() { // or those after it would never have their turn
				h.keys.Look()
				h.application.look()
			})
			if looked++; looked%followAtATime == 0 && !tick(ctx, ticker) {
				return nil
			}
		}
		tick(ctx, ticker)
	}
	return nil
}

// tick waits for the ticker, and reports whether it came before the end of ctx.
func tick(ctx context.Context, ticker *time.Ticker) bool {
	select {
	case <-ctx.Done():
		return false
	case <-ticker.C:
		return true
	}
}
