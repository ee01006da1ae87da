package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"wellkey/internal/finding"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/reach"
	"wellkey/server/certs"
)

// A siteView is the page of one site.
type siteView struct {
	Domain     string
	Summary    Summary
	Word       string
	Registered bool // in every region
	Sound      bool // nothing is wrong with the key as owners' phones fetch it
	Pairings   []pairing
	Checks     []checkView
	Upcoming   []event
	Portal     Portal
	KeyAddress string
	Fetches    []fetchView
	Several    bool // there are more sites, and the fetches are theirs, too
}

// A pairing is a pairing link. The regions share one, but for China.
type pairing struct {
	Link          string
	Start, Domain string   // of the link, which may be broken between them
	Done          []string // the regions whose owners can use it already
	Code          *code    // nil where the link is too long for one
}

// A checkView is a check with its details.
type checkView struct {
	Check
	Word     string
	Facts    []fact
	Groups   []findingGroup // that are not well, shown at once
	Good     []findingGroup // the others, folded
	GoodText string
}

// A fact is one detail: text, or a time.
type fact struct {
	Name, Text string
	Code       bool // to be copied, letter by letter
	Time       moment
}

// A findingGroup is what was found at one address, or of the name.
type findingGroup struct {
	On       string
	Findings []findingView
}

type findingView struct {
	finding.Finding
	Condition   Condition
	Word, Title string
}

// An event is something that wellkey will do.
type event struct {
	What string
	Time moment
	at   time.Time
}

type fetchView struct {
	Client string
	Count  uint64
	Last   moment
}

func viewOfSite(s SiteView, all Status) siteView {
	v := siteView{
		Domain: s.Domain, Summary: s.Summary, Word: conditionWord(s.Summary.State),
		Registered: true, Sound: true, Upcoming: upcoming(s, all.At), Portal: s.Portal,
		KeyAddress: "https://" + s.Domain + reach.Path,
	}
	for _, r := range s.Registrations {
		v.Registered = v.Registered && r.State == registrar.Registered
		v.addPairing(r)
	}
	for _, c := range s.Checklist {
		check := viewOfCheck(c, s, all)
		v.Sound = v.Sound && (c.State != Action || strings.HasPrefix(c.ID, "registration_"))
		if slices.ContainsFunc(v.Checks, func(other checkView) bool { return other.Fix == c.Fix && other.Seen == c.Seen }) {
			check.Seen, check.Cause, check.Fix = "", "", "" // said already, of another region
		}
		v.Checks = append(v.Checks, check)
	}
	for _, f := range all.KeyFetches {
		v.Fetches = append(v.Fetches, fetchView{clientWords(f.Client), f.Count, momentOf(f.Last, all.At)})
	}
	return v
}

func (v *siteView) addPairing(r Registration) {
	i := slices.IndexFunc(v.Pairings, func(p pairing) bool { return p.Link == r.PairingLink })
	if i < 0 {
		p := pairing{Link: r.PairingLink, Start: strings.TrimSuffix(r.PairingLink, v.Domain), Domain: v.Domain}
		if c, err := newCode(r.PairingLink); err == nil { // no code for a name that is too long; the link stands
			p.Code = &c
		}
		v.Pairings = append(v.Pairings, p)
		i = len(v.Pairings) - 1
	}
	if r.State == registrar.Registered {
		v.Pairings[i].Done = append(v.Pairings[i].Done, r.Region.Name())
	}
}

func viewOfCheck(c Check, s SiteView, all Status) checkView {
	now := all.At
	v := checkView{Check: c, Word: conditionWord(c.State)}
	switch c.ID {
	case "key":
		v.Facts = keyFacts(s.Key, now)
	case "certificate":
		v.Facts = certificateFacts(s, now)
	case "reachability":
		if s.Reachability != nil {
			v.addLook(s.Reachability, now)
			if len(v.Groups) > 0 { // which say the same, with the address
				v.Seen, v.Cause, v.Fix = "", "", ""
			}
		}
	}
	for _, r := range s.Registrations {
		if c.ID == "registration_"+string(r.Region) {
			v.Facts = registrationFacts(r, s.Key, now)
		}
	}
	if isBehind(c.ID) {
		v.Facts = factsBehind(c.ID, all)
	}
	for i := range v.Facts {
		v.Facts[i].Text = brief(v.Facts[i].Text)
	}
	return v
}

// addLook shows what is not well at once, and folds the rest.
func (v *checkView) addLook(l *Reachability, now time.Time) {
	v.Facts = append(v.Facts,
		fact{Name: "Looked", Time: momentOf(l.At, now)},
		fact{Name: "Took", Text: fmt.Sprintf("%.0f ms", 1000*l.Duration)})
	good := 0
	for _, f := range l.Findings {
		view := findingView{f, conditionOf(f.Status), findingWord(f.Status), titleOf(f.ID)}
		view.Seen, view.Cause, view.Fix = brief(f.Seen), brief(f.Cause), brief(f.Fix)
		if f.Status == finding.OK || f.Status == finding.Skipped {
			good++
			v.Good = addFinding(v.Good, view)
		} else {
			v.Groups = addFinding(v.Groups, view)
		}
	}
	v.GoodText = count(good, "check") + " with nothing to say"
	if len(v.Groups) == 0 {
		v.GoodText = "All " + count(good, "check")
	}
}

func addFinding(groups []findingGroup, f findingView) []findingGroup {
	if i := slices.IndexFunc(groups, func(g findingGroup) bool { return g.On == f.On }); i >= 0 {
		groups[i].Findings = append(groups[i].Findings, f)
		return groups
	}
	return append(groups, findingGroup{f.On, []findingView{f}})
}

func keyFacts(k KeyView, now time.Time) []fact {
	if k.Fingerprint == "" {
		return []fact{{Name: "Key file", Text: k.Path, Code: true}}
	}
	private := "not in the key file, nor needed here"
	switch {
	case k.PrivateHalf:
		private = "in the key file, and stays there"
	case k.Origin == string(keystore.OriginRestored):
		private = "missing"
	}
	return []fact{
		{Name: "Fingerprint", Text: k.Fingerprint, Code: true},
		{Name: "Origin", Text: originWords(k.Origin)},
		{Name: "File", Text: k.Path, Code: true},
		{Name: "Private half", Text: private},
		{Name: "Read", Time: momentOf(k.LoadedAt, now)},
	}
}

func certificateFacts(s SiteView, now time.Time) []fact {
	c := s.Certificate
	var facts []fact
	if c.Have {
		facts = append(facts, fact{Name: "Issuer", Text: c.Issuer}, fact{Name: "Valid until", Time: momentOf(c.NotAfter, now)})
		if !c.Renewal.IsZero() {
			facts = append(facts, fact{Name: "Renewal", Time: momentOf(c.Renewal, now)})
		}
		facts = append(facts, fact{Name: "Serial", Text: c.Serial, Code: true})
	}
	if why := c.WhyFallback; why != nil {
		facts = append(facts, fact{Name: "First authority failed", Time: momentOf(why.At, now)},
			fact{Name: "Reason code", Text: string(why.Reason), Code: true}, fact{Name: "It said", Text: why.Text})
	}
	facts = append(facts, authorityFacts(c, now)...)
	if c.Directory != "" && (!c.Have || c.LastError != nil) {
		facts = append(facts, fact{Name: "Asked of", Text: c.Directory, Code: true})
	}
	if c.Budget != nil && c.Budget.Remaining < 2 { // else it is no matter
		facts = append(facts, fact{Name: "Issuance budget", Text: fmt.Sprint(c.Budget.Remaining)})
	}
	if c.LastError != nil {
		facts = append(facts, fact{Name: "Last failure", Time: momentOf(c.LastError.At, now)},
			fact{Name: "Reason code", Text: string(c.LastError.Reason), Code: true})
	}
	return facts
}

// authorityFacts tells of each authority that fails, where there are two.
func authorityFacts(c certs.Status, now time.Time) []fact {
	var facts []fact
	for _, a := range c.Authorities {
		name := "First authority"
		if a.Role == certs.Fallback {
			name = "Fallback authority"
		}
		switch {
		case !a.FailingSince.IsZero():
			facts = append(facts, fact{Name: name, Text: a.Name}, fact{Name: name + " fails since", Time: momentOf(a.FailingSince, now)})
		case a.Role == certs.Fallback && !c.FallbackAt.IsZero():
			facts = append(facts, fact{Name: name, Text: a.Name}, fact{Name: name + " is asked", Time: momentOf(c.FallbackAt, now)})
		}
	}
	return facts
}

func registrationFacts(r Registration, k KeyView, now time.Time) []fact {
	facts := []fact{{Name: "State", Text: stateWords(r.State)}}
	if !r.Since.IsZero() {
		facts = append(facts, fact{Name: "Since", Time: momentOf(r.Since, now)})
	}
	if !r.AnsweredAt.IsZero() {
		facts = append(facts, fact{Name: "Tesla answered", Time: momentOf(r.AnsweredAt, now)})
	}
	if !r.RegisteredAt.IsZero() {
		facts = append(facts, fact{Name: "Registered", Time: momentOf(r.RegisteredAt, now)})
	}
	if r.RegisteredFingerprint != "" && r.RegisteredFingerprint != k.Fingerprint {
		facts = append(facts, fact{Name: "Key at Tesla", Text: r.RegisteredFingerprint, Code: true})
	}
	if r.Reason != "" && r.State != registrar.Pending {
		facts = append(facts, fact{Name: "Reason code", Text: r.Reason, Code: true})
	}
	if f := r.LastFailure; f != nil {
		facts = append(facts, fact{Name: "Last failure", Time: momentOf(f.At, now)}, fact{Name: "In a row", Text: count(f.Attempts, "attempt")})
		if f.TxID != "" {
			facts = append(facts, fact{Name: "For Tesla's support", Text: "txid " + f.TxID, Code: true})
		}
	}
	return facts
}

// upcoming is what wellkey does next, soonest first.
func upcoming(s SiteView, now time.Time) []event {
	var events []event
	add := func(at time.Time, what string) {
		if at.IsZero() {
			return
		}
		if at.Before(now) {
			at = now
		}
		events = append(events, event{what, momentOf(at, now), at})
	}
	if s.Reachability != nil {
		add(s.Reachability.Next, "wellkey looks from outside again.")
	}
	for _, r := range s.Registrations {
		if !r.fails() {
			add(r.Next, fmt.Sprintf("wellkey asks Tesla again which key it has (%s).", strings.ToUpper(string(r.Region))))
		}
	}
	add(s.Certificate.Renewal, "The certificate is renewed.")
	for _, a := range s.Attempts(now) {
		add(a.At, a.What)
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.at.Compare(b.at) })
	return events
}
