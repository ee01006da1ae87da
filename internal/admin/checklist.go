package admin

import (
	"fmt"
	"strings"
	"time"

	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/registrar"
	"wellkey/registrar/reach"
)

// A Condition says what a check, or a whole site, asks of a person. It is one
// of a closed set.
type Condition string

// The conditions, from the best to the worst.
const (
	OK        Condition = "ok"        // as it must be
	Unsure    Condition = "unsure"    // cannot be told from here, and need not be
	Waiting   Condition = "waiting"   // not there yet, and comes by itself
	Attention Condition = "attention" // works, but somebody should look
	Step      Condition = "step"      // nothing is wrong, and the next step is a person's
	Action    Condition = "action"    // something is wrong, and a person must act
)

// conditions returns all conditions, from the best to the worst.
func conditions() []Condition { return []Condition{OK, Unsure, Waiting, Attention, Step, Action} }

func (c Condition) rank() int {
	for i, other := range conditions() {
		if c == other {
			return i
		}
	}
	return len(conditions())
}

// A Check is one line of the checklist of a site. ID is stable: "listeners",
// "storage", "key", "certificate", "reachability", "registration_" and the region, or,
// where there is one site, "upstream", or "passthrough_" and the name.
type Check struct {
	ID    string    `json:"id"`
	State Condition `json:"state"`
	Title string    `json:"title"`
	Text  string    `json:"text"`            // how it stands, in one sentence
	Seen  string    `json:"seen,omitempty"`  // what was seen, where that is more
	Cause string    `json:"cause,omitempty"` // the likely cause, unless all is well
	Fix   string    `json:"fix,omitempty"`   // what to do, unless all is well
}

// A Summary answers the one question: is all well, and if not, what do I do? It
// is the worst check, or the first of several that are equally bad; one of a server
// behind only where nothing else is to be told.
type Summary struct {
	State Condition `json:"state"` // never "unsure"
	Text  string    `json:"text"`
	Fix   string    `json:"fix,omitempty"`
	Check string    `json:"check,omitempty"` // the check that decided; left out when all is well
	More  int       `json:"more"`            // how many other checks ask for a person, too
}

// summarize draws the summary out of a checklist. What is behind decides only where
// nothing else does: a site that is not registered yet waits for that, whatever becomes
// of other servers.
func summarize(checks []Check) Summary {
	worst := Check{State: OK}
	for _, behind := range []bool{false, true} {
		for _, c := range checks {
			if isBehind(c.ID) == behind && c.State.rank() > max(worst.State.rank(), Unsure.rank()) {
				worst = c
			}
		}
		if worst.State != OK {
			break
		}
	}
	if worst.State == OK {
		return Summary{State: OK, Text: "All is well: Tesla has this key on record, and owners can pair their cars."}
	}
	s := Summary{State: worst.State, Text: worst.Text, Fix: worst.Fix, Check: worst.ID}
	said := map[string]bool{worst.Fix: true} // one fix for two regions is one thing to do
	for _, c := range checks {
		if c.State.rank() >= Attention.rank() && !said[c.Fix] {
			s.More++
			said[c.Fix] = true
		}
	}
	return s
}

// checklist judges a site, in the order in which things depend on each other.
func checklist(s SiteView, on []Listener, storage *Storage, now time.Time) []Check {
	checks := []Check{checkListeners(on)}
	checks = append(checks, checkStorage(storage)...)
	checks = append(checks, checkKey(s.Key), checkCertificate(s.Certificate, s.Domain, now), checkReachability(s))
	for _, r := range s.Registrations {
		checks = append(checks, checkRegistration(r, now))
	}
	for i := range checks {
		c := &checks[i]
		c.Seen, c.Cause, c.Fix = brief(c.Seen), brief(c.Cause), brief(c.Fix)
	}
	return checks
}

// checkStorage judges a storage that replicas share. One in a directory is told of
// by what it keeps from being done.
func checkStorage(s *Storage) []Check {
	if s == nil || !s.Shared {
		return nil
	}
	if s.Up {
		return []Check{{ID: "storage", Title: "Storage", State: OK, Text: "The replicas share " + s.Name + "."}}
	}
	return []Check{{ID: "storage", Title: "Storage", State: Action,
		Text: "The shared storage is down: the key is served on, and nothing is ordered or registered.",
		Seen: phrase.Sentence(s.Seen), Cause: phrase.Sentence(s.Cause), Fix: phrase.Sentence(s.Fix)}}
}

func checkListeners(on []Listener) Check {
	c := Check{ID: "listeners", Title: "Listeners", State: OK}
	var bound []string
	for _, l := range on {
		if l.Bound {
			bound = append(bound, strings.ToUpper(l.Name)+" on "+l.Address)
			continue
		}
		c.State, c.Text = Waiting, "The "+strings.ToUpper(l.Name)+" listener does not have its address yet."
		if l.Error != "" {
			c.State, c.Seen = Action, phrase.Sentence(l.Error)
			c.Fix = "Free the address " + l.Address + ", or set " + l.Name + "_addr to another; wellkey goes on trying."
			return c
		}
	}
	if c.State == OK {
		c.Text = "Listening: " + strings.Join(bound, ", ") + "."
	}
	return c
}

func checkKey(k KeyView) Check {
	c := Check{ID: "key", Title: "Key", State: OK}
	if note := k.Missing; note != nil && k.Fingerprint == "" {
		c.Seen, c.Cause, c.Fix = note.Seen, note.Cause, note.Fix
		switch note.Reason {
		case registrar.ReasonRegionsDisagree:
			c.State, c.Text = Action, "No key is hosted, and which one it must be is for you to say."
		case registrar.ReasonNoSharedKey:
			c.State, c.Text = Action, "No key is hosted: replicas share the storage, so none of them makes one."
		case registrar.ReasonNoKey:
			c.State, c.Text = Action, "No key is hosted: it could not be written."
		default:
			c.State, c.Text = Waiting, "No key yet: Tesla is asked first whether it has one, so that none is lost."
			c.Fix = ""
		}
		return c
	}
	switch {
	case k.Fingerprint == "":
		c.State, c.Text = Waiting, "No key yet: wellkey has just started."
	case k.MustBeRestored:
		c.State, c.Text = Attention, "The private key is missing here; its public half, rebuilt from Tesla's answer, keeps pairing alive."
		c.Cause = "The key file was lost, with the data directory or by a move to another machine."
		c.Fix = "Restore the private key from a backup into the key file. Where it is lost for good, \"wellkey rotate\" makes another; every owner must then pair again."
	case k.LastBadChange != "":
		c.State, c.Text = Attention, "The key file was changed and cannot be used; the last good key is still served."
		c.Seen = phrase.Sentence(k.LastBadChange)
		c.Fix = "Put a good key back into " + k.Path + "; a restart before that would leave no key to serve."
	case len(k.Warnings) > 0:
		c.State, c.Text = Attention, "The key is served, but its file asks for a look."
		c.Seen = phrase.Sentence(strings.Join(k.Warnings, " "))
		c.Fix = "Follow the warning; " + k.Path + " is read again automatically."
	default:
		c.Text = "The key is hosted."
	}
	return c
}

func checkReachability(s SiteView) Check {
	c := Check{ID: "reachability", Title: "Reachability"}
	l := s.Reachability
	if l == nil {
		c.State, c.Text = Waiting, "Not looked at from outside yet."
		switch {
		case s.Key.Fingerprint == "":
			c.Text = "Not looked at from outside yet: there is no key to find."
		case !s.Certificate.Have && s.Certificate.Source != "off":
			c.Text = "Not looked at from outside yet: there is no certificate."
		}
		return c
	}
	c.Seen, c.Cause, c.Fix = l.deciding.Seen, l.deciding.Cause, l.deciding.Fix
	switch l.Verdict {
	case reach.Unreachable:
		c.State, c.Text = Action, "The key cannot be fetched from outside."
		if l.Reason == reach.ReasonPrivateKey {
			c.Text = "The private key is published: whoever fetched it can command the cars."
		}
	case reach.Inconclusive:
		c.State, c.Text = Unsure, "Whether the key can be fetched cannot be told from here; Tesla's answer is the better witness."
	default:
		c.State, c.Text = OK, "The key can be fetched from outside."
		if f, bad := worstOf(l.Findings); bad {
			c.State, c.Text = Attention, "The key can be fetched from outside, but not all is as it should be."
			c.Seen, c.Cause, c.Fix = f.Seen, f.Cause, f.Fix
		}
	}
	return c
}

// worstOf returns the first failed finding, or else the first warning.
func worstOf(all []finding.Finding) (worst finding.Finding, bad bool) {
	for _, f := range all {
		if f.Status == finding.Fail {
			return f, true
		}
		if f.Status == finding.Warn && !bad {
			worst, bad = f, true
		}
	}
	return worst, bad
}

// Beyond these, what usually passes by itself asks for a look.
const (
	staleAnswer   = 3 * 24 * time.Hour // Tesla is asked once a day
	longTrouble   = 24 * time.Hour     // Tesla's own troubles end sooner
	shareToExpiry = 0.15               // of a certificate's lifetime; it is renewed long before
)

func checkRegistration(r Registration, now time.Time) Check {
	where := r.Region.Name()
	c := Check{ID: "registration_" + string(r.Region), Title: "Registration in " + where, Seen: phrase.Sentence(r.Seen), Cause: r.Cause, Fix: r.Fix}
	switch r.State {
	case registrar.Registered:
		c.State, c.Text = OK, "Tesla has this key on record in "+where+"."
		if f := r.LastFailure; f != nil {
			c.Seen = "The last question failed: " + f.What
		}
		if !r.AnsweredAt.IsZero() && now.Sub(r.AnsweredAt) > staleAnswer {
			c.State, c.Text = Attention, fmt.Sprintf("Tesla had this key on record in %s, but has not answered for %s.", where, span(now.Sub(r.AnsweredAt)))
			c.Fix = "Look at the last failure; if there is none, restart wellkey and report it."
		}
	case registrar.WaitingForCredentials:
		c.State, c.Text = Step, "One step is yours: give wellkey the client id and secret of your application."
		if r.Reason == registrar.ReasonBadCredentials {
			c.State, c.Text = Action, "The credentials cannot be used, so nothing is registered; the key is still served."
		}
	case registrar.Unreachable:
		c.State, c.Text = Waiting, "The registration in "+where+" waits until the key can be fetched from outside."
		c.Seen, c.Cause, c.Fix = "", "", "" // they are those of the reachability
	case registrar.Mismatch:
		c.State, c.Text = Action, "Tesla has another key on record in "+where+"; nothing is overwritten."
	case registrar.Refused:
		c.State, c.Text = Action, "Tesla refuses the registration in "+where+"."
	case registrar.Unavailable:
		c.State, c.Text = Waiting, "Tesla in "+where+" cannot be asked at the moment; wellkey goes on trying."
		if !r.Since.IsZero() && now.Sub(r.Since) > longTrouble {
			c.State, c.Text = Attention, fmt.Sprintf("Tesla in %s could not be asked for %s; wellkey goes on trying.", where, span(now.Sub(r.Since)))
		}
	default:
		c.State, c.Text = Waiting, pendingText(r.Reason, where)
	}
	return c
}

func pendingText(reason, where string) string {
	switch reason {
	case registrar.ReasonAsking:
		return "Tesla is being asked which key it has in " + where + "."
	case registrar.ReasonRegistering:
		return "The key is being registered in " + where + "."
	case registrar.ReasonNoKey:
		return "The registration in " + where + " waits for a key."
	case registrar.ReasonNoCertificate:
		return "The registration in " + where + " waits for the certificate."
	case registrar.ReasonSpreading:
		return "The registration in " + where + " waits until the replicas have the certificate."
	case registrar.ReasonNotLooked:
		return "The registration in " + where + " waits for the first look from outside."
	}
	return "The registration in " + where + " is about to begin."
}
