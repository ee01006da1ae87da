package admin

import (
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
type Status struct {
	Version    string     `json:"version"`
	Started    time.Time  `json:"started"`
	Ready      bool       `json:"ready"`
	NotReady   string     `json:"not_ready,omitempty"` // why
	Listeners  []Listener `json:"listeners"`
	Sites      []SiteView `json:"sites"`
	KeyFetches []Fetch    `json:"key_fetches"`
}

// A Listener is one public listener.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Bound   bool   `json:"bound"`
	Error   string `json:"error,omitempty"`
}

// A Fetch says how often one class of client fetched the key since the start.
type Fetch struct {
	Client string    `json:"client"`
	Count  uint64    `json:"count"`
	Last   time.Time `json:"last,omitzero"`
}

// A SiteView is one domain.
type SiteView struct {
	Domain        string         `json:"domain"`
	Key           KeyView        `json:"key"`
	Certificate   certs.Status   `json:"certificate"`
	Reachability  *Reachability  `json:"reachability"` // null before the first look
	Registrations []Registration `json:"registrations"`
	PairingLink   string         `json:"pairing_link"`
}

// A KeyView is the key that is hosted.
type KeyView struct {
	Fingerprint    string          `json:"fingerprint,omitempty"` // "" = there is none
	Origin         string          `json:"origin"`
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
	Verdict  reach.Verdict     `json:"verdict"`
	Reason   string            `json:"reason,omitempty"`
	At       time.Time         `json:"at"`
	Next     time.Time         `json:"next,omitzero"`
	Duration float64           `json:"duration_seconds"`
	Findings []finding.Finding `json:"findings"`
}

// A Registration is one domain in one region.
type Registration struct {
	Region                fleetapi.Region `json:"region"`
	State                 registrar.State `json:"state"`
	registrar.Note                        // reason, seen, cause, fix
	Since                 time.Time       `json:"since,omitzero"`
	Next                  time.Time       `json:"next,omitzero"`
	RegisteredFingerprint string          `json:"registered_fingerprint,omitempty"` // what Tesla has on record
	AnsweredAt            time.Time       `json:"answered_at,omitzero"`             // when Tesla last said so
	RegisteredAt          time.Time       `json:"registered_at,omitzero"`
	LastFailure           *Failure        `json:"last_failure,omitempty"` // the last request that did not succeed, while it counts
}

// A Failure is a request to Tesla that did not succeed.
type Failure struct {
	At       time.Time `json:"at"`
	Reason   string    `json:"reason"`
	What     string    `json:"what"`
	Attempts int       `json:"attempts"`
	TxID     string    `json:"txid,omitempty"`
}

// Status returns the present status.
func (a *Admin) Status() Status {
	out := Status{Version: a.config.Version, Started: a.started, Ready: true}
	if err := a.notReady(); err != nil {
		out.Ready, out.NotReady = false, err.Error()
	}
	for _, l := range a.config.Server.Listeners() {
		out.Listeners = append(out.Listeners, Listener{l.Name, l.Addr, l.Bound, l.Error})
	}
	for _, f := range a.config.Server.KeyFetches() {
		out.KeyFetches = append(out.KeyFetches, Fetch{f.Client, f.Count, f.Last})
	}
	for i, s := range a.config.Registrar.Snapshot().Sites {
		out.Sites = append(out.Sites, viewSite(a.config.Sites[i], s))
	}
	return out
}

func viewSite(site Site, s registrar.SiteSnapshot) SiteView {
	out := SiteView{
		Domain:      s.Domain,
		Key:         viewKey(site.Key(), s),
		Certificate: site.Certificate(),
		PairingLink: s.Regions[0].Region.PairingLink(s.Domain),
	}
	if l := s.Look; l != nil {
		out.Reachability = &Reachability{Verdict: l.Verdict, Reason: l.Reason, At: l.At, Next: s.NextLook,
			Duration: l.Duration.Seconds(), Findings: l.Findings}
	}
	for _, r := range s.Regions {
		out.Registrations = append(out.Registrations, viewRegistration(r))
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

func viewRegistration(r registrar.RegionSnapshot) Registration {
	out := Registration{
		Region: r.Region, State: r.State, Note: r.Note, Since: r.Since, Next: r.Next,
		RegisteredFingerprint: r.Registered.Fingerprint(),
		AnsweredAt:            r.AnsweredAt, RegisteredAt: r.RegisteredAt,
	}
	if f := r.Failure; f != nil {
		out.LastFailure = &Failure{At: f.At, Reason: f.Reason, What: f.What, Attempts: f.Count, TxID: f.TxID}
	}
	return out
}
