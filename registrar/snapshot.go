package registrar

import (
	"maps"
	"slices"
	"strings"
	"time"

	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// A Snapshot is the state of all sites at one moment. It shares nothing that
// changes with the registrar.
type Snapshot struct {
	Sites []SiteSnapshot
}

// A SiteSnapshot is the state of one domain.
type SiteSnapshot struct {
	Domain   string
	Key      keystore.Key  // what is hosted; zero: nothing yet
	Look     *reach.Report // the last look from outside at this key; nil: none yet
	NextLook time.Time
	LastGood time.Time // when a look last found the key that was hosted then; zero: never in this process
	KeyNote  *Note     // why there is no key; nil when there is one
	Regions  []RegionSnapshot
}

// A RegionSnapshot is the registration of one domain in one region.
type RegionSnapshot struct {
	Region       fleetapi.Region
	State        State
	Since        time.Time // when this state and reason began
	Note         Note      // what the state means here and what to do
	Next         time.Time // the next step; zero: when something changes
	Registered   keystore.Key
	AnsweredAt   time.Time // when Tesla last said which key it has
	RegisteredAt time.Time // when our last own registration was read back
	Failure      *Failure  // the last request that did not succeed, while it counts
}

// A Note explains a state: its reason code and, in sentences, what was seen,
// the likely cause and the fix.
type Note struct {
	Reason string `json:"reason"`
	Seen   string `json:"seen,omitempty"`
	Cause  string `json:"cause,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

// Snapshot returns the present state of all sites, in the order of their domains.
func (r *Registrar) Snapshot() Snapshot {
	r.mu.Lock()
	sites := slices.Collect(maps.Values(r.sites))
	r.mu.Unlock()
	slices.SortFunc(sites, func(a, b *site) int { return strings.Compare(a.Domain, b.Domain) })
	out := Snapshot{Sites: make([]SiteSnapshot, len(sites))}
	for i, s := range sites {
		out.Sites[i] = s.snapshot()
	}
	return out
}

func (s *site) snapshot() SiteSnapshot {
	key := s.Keys.Key()
	app := s.Application()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := SiteSnapshot{Domain: s.Domain, Key: key, LastGood: s.reachable}
	if s.report != nil && s.lookedAt == key {
		report := s.report.whole()
		out.Look, out.NextLook = &report, s.nextLook
	}
	if key.IsZero() {
		note := keyNote(s.keyReason, s.keyError)
		out.KeyNote = &note
	}
	for _, r := range s.regions {
		out.Regions = append(out.Regions, s.regionSnapshot(r, app, key))
	}
	return out
}

// regionSnapshot is called with s.mu held.
func (s *site) regionSnapshot(r *region, app Application, key keystore.Key) RegionSnapshot {
	out := RegionSnapshot{
		Region:       r.name,
		State:        r.shown.State,
		Since:        r.since,
		Next:         r.shown.Next,
		RegisteredAt: r.record.RegisteredAt,
		Failure:      r.record.failureFor(app.Digest, key),
	}
	if a := r.record.answerFor(app.ClientID); a != nil {
		out.Registered, out.AnsweredAt = a.Registered(), a.At
	}
	out.Note = s.note(r.shown, key, out.Registered, out.Failure)
	if app.Fault != "" && out.Note.Reason == ReasonBadCredentials {
		out.Note.Seen = app.Fault
	}
	if app.Place != "" {
		out.Note = out.Note.in(app.Place)
	}
	return out
}

// note puts a decision into words: those of the look from outside, of the
// failure, or the registrar's own. It is called with s.mu held.
func (s *site) note(d decision, key, registered keystore.Key, f *Failure) Note {
	switch {
	case d.State == Unreachable && s.report != nil:
		found := s.report.whole().Deciding()
		return Note{Reason: d.Reason, Seen: found.Seen, Cause: found.Cause, Fix: found.Fix}
	case f != nil && f.Reason == d.Reason:
		n := Note{Reason: d.Reason, Seen: f.What, Cause: f.Cause, Fix: f.Fix}
		if d.State == Refused && f.Retry != fleetapi.RetryDaily && s.host != nil { // other credentials are tried at once; a single attempt has nobody to hurry
			n.Fix += orHurry
		}
		return n
	case d.State == Mismatch:
		n := noteOf(d.Reason)
		n.Seen = "Tesla has key " + registered.Fingerprint() + " on record; this host serves " + key.Fingerprint() + "."
		return n
	}
	return noteOf(d.Reason)
}
