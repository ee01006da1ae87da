package admin

import (
	"slices"
	"strings"
	"time"

	"wellkey/internal/finding"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server/certs"
)

// A Status is all that is known at one moment, made for people and programs: it
// holds view structs only, so no secret can slip in with a field.
//
// Its JSON is a contract. Times are RFC 3339 and left out where there is nothing
// to tell, durations are in seconds, lists are never null, and the words of
// closed sets (states, verdicts, reasons, origins) are stable; sentences are for
// people and may change.
type Status struct {
	Version    string     `json:"version"`
	At         time.Time  `json:"at"` // when all this held
	Started    time.Time  `json:"started"`
	Ready      bool       `json:"ready"`
	NotReady   string     `json:"not_ready,omitempty"` // why
	Listeners  []Listener `json:"listeners"`
	Storage    *Storage   `json:"storage,omitempty"` // where state is kept; left out where that is not told
	Sites      []SiteView `json:"sites"`
	KeyFetches []Fetch    `json:"key_fetches"` // of all sites together

	Upstream    *Behind   `json:"upstream,omitempty"`    // the application behind, where there is one
	Passthrough []Passed  `json:"passthrough,omitempty"` // what goes to other servers, in the order in which the names are tried
	BadSites    []BadSite `json:"bad_sites,omitempty"`   // what the settings list and cannot be hosted as it stands there
}

// A BadSite is one of several sites whose settings, or key, are at fault. One that
// was good before goes on as it was.
type BadSite struct {
	Name  string `json:"name"` // the domain as it stands in the settings
	Error string `json:"error"`
}

// Storage is where state is kept.
type Storage struct {
	Name   string    `json:"name"`             // without a password
	Shared bool      `json:"shared"`           // other replicas use it, too
	Up     bool      `json:"up"`               // the last call was answered
	Since  time.Time `json:"since,omitzero"`   // when that began; left out = at the start
	Reason string    `json:"reason,omitempty"` // why it is not up: one of a closed set
	Seen   string    `json:"seen,omitempty"`
	Cause  string    `json:"cause,omitempty"`
	Fix    string    `json:"fix,omitempty"`
}

// A Listener is one public listener.
type Listener struct {
	Name    string `json:"name"` // "http" or "https"
	Address string `json:"address"`
	Bound   bool   `json:"bound"`
	Error   string `json:"error,omitempty"` // why it is not bound
}

// A Fetch says how often one class of client fetched the key since the start.
// It goes by what the client says of itself.
type Fetch struct {
	Client string    `json:"client"` // "tesla_app", "wellkey" or "other"
	Count  uint64    `json:"count"`
	Last   time.Time `json:"last,omitzero"`
}

// A SiteView is one domain.
type SiteView struct {
	Domain        string         `json:"domain"`
	Summary       Summary        `json:"summary"`   // is all well, and if not, what to do
	Checklist     []Check        `json:"checklist"` // in the order in which things depend on each other
	Key           KeyView        `json:"key"`
	Certificate   certs.Status   `json:"certificate"`
	Reachability  *Reachability  `json:"reachability"` // null before the first look
	Registrations []Registration `json:"registrations"`
	PairingLink   string         `json:"pairing_link"` // of the first region
	Portal        Portal         `json:"portal"`
}

// Portal is what to type into Tesla's developer portal.
type Portal struct {
	URL           string `json:"url"`
	AllowedOrigin string `json:"allowed_origin"`
	GrantType     string `json:"grant_type"`
}

// A KeyView is the key that is hosted.
type KeyView struct {
	Fingerprint    string          `json:"fingerprint,omitempty"` // "" = there is none
	Origin         string          `json:"origin"`                // "none", "file", "generated" or "restored"
	Path           string          `json:"path"`
	PrivateHalf    bool            `json:"private_half"` // the private half is in the key file
	LoadedAt       time.Time       `json:"loaded_at,omitzero"`
	Missing        *registrar.Note `json:"missing,omitempty"`          // why there is no key
	LastBadChange  string          `json:"last_bad_change,omitempty"`  // the key file is bad now; the last good key is served
	MustBeRestored bool            `json:"must_be_restored,omitempty"` // the public half came from Tesla; the private half is lost
	Warnings       []string        `json:"warnings,omitempty"`
}

// Reachability is the last look from outside.
type Reachability struct {
	Verdict   reach.Verdict     `json:"verdict"`
	Reason    string            `json:"reason,omitempty"`
	At        time.Time         `json:"at"`
	Next      time.Time         `json:"next,omitzero"`
	LastGood  time.Time         `json:"last_good,omitzero"` // when a look last found the key, in this process
	Duration  float64           `json:"duration_seconds"`
	Addresses []Address         `json:"addresses"`
	Findings  []finding.Finding `json:"findings"`

	deciding finding.Finding // what the verdict goes back to
}

// An Address is what was seen at one address of the domain.
type Address struct {
	IP     string `json:"ip"`
	Family string `json:"family"` // "ipv4" or "ipv6"
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// A Registration is one domain in one region.
type Registration struct {
	Region                fleetapi.Region `json:"region"`
	State                 registrar.State `json:"state"`
	registrar.Note                        // reason, seen, cause, fix
	Since                 time.Time       `json:"since,omitzero"`                   // of this state and reason
	Next                  time.Time       `json:"next,omitzero"`                    // the next step; left out when it waits for a change
	RegisteredFingerprint string          `json:"registered_fingerprint,omitempty"` // what Tesla has on record
	AnsweredAt            time.Time       `json:"answered_at,omitzero"`             // when Tesla last said so
	RegisteredAt          time.Time       `json:"registered_at,omitzero"`           // when our own registration was last accepted and read back
	PairingLink           string          `json:"pairing_link"`
	LastFailure           *Failure        `json:"last_failure,omitempty"` // the last request that did not succeed, while it counts
}

// A Failure is a request to Tesla that did not succeed.
type Failure struct {
	At       time.Time `json:"at"`
	Reason   string    `json:"reason"`
	What     string    `json:"what"`
	Attempts int       `json:"attempts"`
	TxID     string    `json:"txid,omitempty"` // what Tesla's support asks for
}

// Status returns the present status.
func (a *Admin) Status() Status {
	out := a.unjudged()
	for i := range out.Sites {
		site := &out.Sites[i]
		site.Checklist = checklist(*site, out.Listeners, out.Storage, out.At)
		if len(out.Sites) == 1 { // else they would stand in each, and hide what it asks for
			site.Checklist = append(site.Checklist, out.behind()...)
		}
		site.Summary = summarize(site.Checklist)
	}
	return out
}

// unjudged returns the present status without what a person is to make of it, which
// is most of the work.
func (a *Admin) unjudged() Status {
	out := Status{
		Version: a.config.Version, At: a.now(), Started: a.started, Ready: true,
		Listeners: []Listener{}, Sites: []SiteView{}, KeyFetches: []Fetch{},
	}
	sites := a.config.Registrar.Snapshot().Sites // made anew of all sites at each call
	if err := a.notReady(sites); err != nil {
		out.Ready, out.NotReady = false, err.Error()
	}
	if a.config.Storage != nil {
		storage := a.config.Storage()
		out.Storage = &storage
	}
	for _, l := range a.config.Server.Listeners() {
		out.Listeners = append(out.Listeners, Listener{l.Name, l.Addr, l.Bound, l.Error})
	}
	for _, f := range a.config.Server.KeyFetches() {
		out.KeyFetches = append(out.KeyFetches, Fetch{f.Client, f.Count, f.Last})
	}
	out.Upstream, out.Passthrough = viewUpstream(a.config.Server.Upstream()), viewPassed(a.config.Server.Passthrough())
	for _, s := range sites {
		known, ok := a.config.Site(s.Domain)
		if !ok { // it went since the snapshot
			continue
		}
		out.Sites = append(out.Sites, viewSite(known, s))
	}
	out.BadSites = a.badSites()
	return out
}

func (a *Admin) badSites() []BadSite {
	if a.config.BadSites == nil {
		return nil
	}
	var all []BadSite
	for name, err := range a.config.BadSites() {
		all = append(all, BadSite{name, err.Error()})
	}
	slices.SortFunc(all, func(a, b BadSite) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func viewSite(site Site, s registrar.SiteSnapshot) SiteView {
	out := SiteView{
		Domain:        s.Domain,
		Key:           viewKey(site.Key, s),
		Certificate:   site.Certificate,
		Reachability:  viewLook(s),
		Registrations: []Registration{},
		Portal: Portal{
			URL:           "https://developer.tesla.com",
			AllowedOrigin: "https://" + s.Domain,
			GrantType:     "Authorization Code and Machine-to-Machine",
		},
	}
	for _, r := range s.Regions {
		out.Registrations = append(out.Registrations, viewRegistration(s.Domain, r))
	}
	if len(s.Regions) > 0 {
		out.PairingLink = out.Registrations[0].PairingLink
		if s.Regions[0].Region == fleetapi.CN {
			out.Portal.URL = "https://developer.tesla.cn"
		}
	}
	return out
}

func viewKey(k keystore.Status, s registrar.SiteSnapshot) KeyView {
	return KeyView{
		Fingerprint:    s.Key.Fingerprint(),
		Origin:         string(k.Origin),
		Path:           k.Path,
		PrivateHalf:    k.Private,
		LoadedAt:       k.LoadedAt,
		Missing:        s.KeyNote,
		LastBadChange:  k.LastError,
		MustBeRestored: k.Origin == keystore.OriginRestored,
		Warnings:       k.Warnings,
	}
}

func viewLook(s registrar.SiteSnapshot) *Reachability {
	if s.Look == nil {
		return nil
	}
	out := &Reachability{
		Verdict: s.Look.Verdict, Reason: s.Look.Reason, At: s.Look.At, Next: s.NextLook, LastGood: s.LastGood, Duration: s.Look.Duration.Seconds(),
		Addresses: []Address{}, Findings: append([]finding.Finding{}, s.Look.Findings...), deciding: s.Look.Deciding(),
	}
	for _, a := range s.Look.Addresses {
		out.Addresses = append(out.Addresses, Address{a.IP.String(), a.Family, a.OK, a.Reason})
	}
	return out
}

func viewRegistration(domain string, r registrar.RegionSnapshot) Registration {
	out := Registration{
		Region: r.Region, State: r.State, Note: r.Note, Since: r.Since, Next: r.Next,
		RegisteredFingerprint: r.Registered.Fingerprint(),
		AnsweredAt:            r.AnsweredAt, RegisteredAt: r.RegisteredAt,
		PairingLink: r.Region.PairingLink(domain),
	}
	if f := r.Failure; f != nil {
		out.LastFailure = &Failure{At: f.At, Reason: f.Reason, What: f.What, Attempts: f.Count, TxID: f.TxID}
	}
	return out
}
