package admin

import (
	"errors"
	"fmt"
	"net/http"

	"wellkey/internal/listen"
	"wellkey/registrar"
)

// health answers that the process is alive, and nothing more: a restart heals
// neither Tesla nor the CA.
func (a *Admin) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "ok") // the visitor is gone, if this fails
}

// ready answers whether the key can be served, and if not, why.
func (a *Admin) ready(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := a.notReady(a.config.Registrar.Snapshot().Sites); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}

// notReady returns why no key can be served: nil when one can. Before the first
// certificate it can be, since the CA must reach us to give one; and of many
// sites, one that has a key is enough, or the newest would stop all others.
func (a *Admin) notReady(sites []registrar.SiteSnapshot) error {
	if a.config.Stopping != nil && a.config.Stopping() {
		return errors.New("stopping")
	}
	if l := serving(a.config.Server.Listeners()); !l.Bound {
		return fmt.Errorf("the %s listener is not bound yet", l.Name)
	}
	for _, s := range sites {
		if !s.Key.IsZero() {
			return nil
		}
	}
	switch {
	case len(sites) == 0:
		return errors.New("no domain is configured")
	case len(sites) > 1:
		return fmt.Errorf("no key yet for any of %d domains", len(sites))
	case sites[0].KeyNote != nil && sites[0].KeyNote.Reason != "":
		return fmt.Errorf("no key for %s yet: %s", sites[0].Domain, sites[0].KeyNote.Reason)
	}
	return fmt.Errorf("no key for %s yet", sites[0].Domain)
}

// serving returns the listener that gives the key: the one for HTTPS, unless a
// proxy in front ends TLS, and there is none.
func serving(on []listen.State) listen.State {
	key := listen.State{Name: "public"}
	for _, l := range on {
		if key = l; l.Name == "https" {
			break
		}
	}
	return key
}
