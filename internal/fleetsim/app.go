package fleetsim

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"wellkey/registrar/fleetapi"
)

// An App is an application in Tesla's portal.
type App struct {
	ClientID       string
	Secret         string
	Name           string
	AllowedOrigins []string // "https://host", nothing more
	Scopes         []string // ticked in the portal; nil = openid and those of vehicles
	NoGrant        bool     // created without "Machine-to-Machine"
	Regions        []fleetapi.Region
	// Regions are those where the application exists: China has its own. nil = all.
}

// AddApp adds an application, or changes the one with its client id.
func (s *Sim) AddApp(a App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.Scopes == nil {
		a.Scopes = []string{"openid", "vehicle_device_data", "vehicle_cmds", "vehicle_charging_cmds"}
	}
	s.apps[a.ClientID] = a
}

// RemoveApp deletes an application. Its accounts stay, as Tesla's do.
func (s *Sim) RemoveApp(clientID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.apps, clientID)
}

func (s *Sim) app(clientID string) (App, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.apps[clientID]
	return a, ok
}

func (a App) existsIn(r fleetapi.Region) bool {
	return a.Regions == nil || slices.Contains(a.Regions, r)
}

// allows reports whether domain has the root of an allowed origin. Whether
// Tesla uses the Public Suffix List to find the root is unknown; under the
// list, people's reports about shared suffixes such as github.io come out right.
func (a App) allows(domain string) bool {
	return slices.ContainsFunc(a.AllowedOrigins, func(origin string) bool {
		u, err := url.Parse(origin)
		return err == nil && u.Scheme == "https" && origin == "https://"+u.Host && root(u.Hostname()) == root(domain)
	})
}

func root(host string) string {
	r, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil { // host is a suffix itself: it has no root but itself
		return host
	}
	return r
}

// validDomain reports whether Tesla would take domain for one.
func validDomain(domain string) bool {
	labels := strings.Split(domain, ".")
	if len(labels) < 2 || len(domain) > 253 {
		return false
	}
	return !slices.ContainsFunc(labels, func(l string) bool {
		return l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' ||
			strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != ""
	})
}

// A holder owns an account: in every region, an application has one at most,
// and with it one domain and one key.
type holder struct {
	region   fleetapi.Region
	clientID string
}

// Account returns what is recorded for domain in region, whoever holds it.
func (s *Sim) Account(r fleetapi.Region, domain string) (fleetapi.Account, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h, a := range s.accounts {
		if h.region == r && a.Domain == domain {
			return a, true
		}
	}
	return fleetapi.Account{}, false
}

// SetAccount records an account of a.ClientID, with no check and no download:
// a registration of before, or a key that somebody changed meanwhile.
func (s *Sim) SetAccount(r fleetapi.Region, a fleetapi.Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[holder{r, a.ClientID}] = a
}

// RemoveAccount forgets what domain has in region. Tesla has no such endpoint.
func (s *Sim) RemoveAccount(r fleetapi.Region, domain string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.accounts, func(h holder, a fleetapi.Account) bool { return h.region == r && a.Domain == domain })
}
