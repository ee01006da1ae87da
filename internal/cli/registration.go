package cli

import (
	"fmt"
	"strings"

	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/internal/tty"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// registeredAll is the outcome of a registration that stands in every region.
const registeredAll doctor.Outcome = "registered"

// A registration is what one attempt came to. Its JSON is stable: fields are
// added, never renamed or taken away.
type registration struct {
	Domain  string            `json:"domain"`
	Key     string            `json:"key_fingerprint"` // of the key to register; "" where none was found
	Outcome doctor.Outcome    `json:"outcome"`         // registeredAll, doctor.Fix or doctor.Undecided
	Verdict string            `json:"verdict"`         // for people
	Look    finding.Finding   `json:"look"`            // what the look from outside says, with the id of the deciding check
	Regions []regionOutcome   `json:"regions"`         // none where no key was found
	shown   []finding.Finding // the same as Regions, for people
}

// A regionOutcome is the registration in one region after the attempt.
type regionOutcome struct {
	Region      fleetapi.Region `json:"region"`
	State       registrar.State `json:"state"`
	Reason      string          `json:"reason,omitempty"`                 // the code behind the state
	Done        bool            `json:"done"`                             // this attempt registered it
	Registered  string          `json:"registered_fingerprint,omitempty"` // of the key that Tesla has now
	Seen        string          `json:"seen"`
	Cause       string          `json:"cause,omitempty"`
	Fix         string          `json:"fix,omitempty"`
	TxID        string          `json:"txid,omitempty"` // what Tesla's support asks for
	PairingLink string          `json:"pairing_link,omitempty"`
}

func newRegistration(s registrar.SiteSnapshot) registration {
	a := registration{Domain: s.Domain, Key: s.Key.Fingerprint(), Look: lookFinding(s), Regions: []regionOutcome{}}
	for _, r := range s.Regions {
		o := regionOutcome{Region: r.Region, State: r.State, Reason: r.Note.Reason, Done: !r.RegisteredAt.IsZero(),
			Registered: r.Registered.Fingerprint(), Seen: r.Note.Seen, Cause: r.Note.Cause, Fix: r.Note.Fix}
		if r.Failure != nil {
			o.TxID = r.Failure.TxID
		}
		switch {
		case r.State == registrar.Registered && o.Done:
			o.Seen = "Registered now, and read back."
		case r.State == registrar.Registered:
			o.Seen = "Tesla had this key already; nothing was done."
		case r.State == registrar.Unreachable:
			o.Seen, o.Cause, o.Fix = "Not registered, since the key cannot be fetched: see above.", "", ""
		case o.Seen == "":
			o.Seen = "Not registered (" + o.Reason + ")."
		default:
			o.Seen = strings.ToUpper(o.Seen[:1]) + o.Seen[1:] // the text of an error begins in lower case
		}
		if r.State == registrar.Registered {
			o.PairingLink = r.Region.PairingLink(s.Domain)
		}
		a.Regions = append(a.Regions, o)
		a.shown = append(a.shown, finding.Finding{ID: string(r.Region), Status: statusOfState(r.State), Seen: o.Seen, Cause: o.Cause, Fix: o.Fix})
	}
	a.conclude()
	return a
}

// lookFinding says in one finding what the look from outside came to.
func lookFinding(s registrar.SiteSnapshot) finding.Finding {
	if s.Look == nil {
		return finding.Finding{ID: "look", Status: finding.Unknown, Seen: "The look from outside did not come to an end.", Fix: "Run it again."}
	}
	if s.Look.Verdict == reach.Reachable {
		return finding.Finding{ID: "look", Status: finding.OK, Seen: fmt.Sprintf("%s gives the key %s.", s.Domain, s.Key.Fingerprint())}
	}
	f := s.Look.Deciding()
	if f.Seen == "" { // nothing but a reason
		f.Seen = "The look from outside did not come to an end (" + s.Look.Reason + ")."
		f.Fix = "Run it again."
	}
	return f
}

// statusOfState tells what a person must fix from what is open.
func statusOfState(s registrar.State) finding.Status {
	switch s {
	case registrar.Registered:
		return finding.OK
	case registrar.Mismatch, registrar.Refused, registrar.Unreachable:
		return finding.Fail
	}
	return finding.Unknown
}

// conclude sets outcome and verdict.
func (a *registration) conclude() {
	var well, faulty, open []string
	for i, r := range a.Regions {
		switch a.shown[i].Status {
		case finding.OK:
			well = append(well, string(r.Region))
		case finding.Fail:
			faulty = append(faulty, string(r.Region))
		default:
			open = append(open, string(r.Region))
		}
	}
	done := "Nothing is registered"
	if len(well) > 0 {
		done = "Registered in " + phrase.List(well)
	}
	switch {
	case len(faulty) > 0 || a.Look.Status == finding.Fail: // owners' phones fetch the key, too
		a.Outcome, a.Verdict = doctor.Fix, done+"; fix what is named above and run this again."
	case len(open) > 0 || len(a.Regions) == 0:
		a.Outcome, a.Verdict = doctor.Undecided, done+"; the rest is open. This command tries once: run it again in a few minutes."
	default:
		a.Outcome, a.Verdict = registeredAll, fmt.Sprintf("%s is registered in %s.", a.Domain, phrase.List(well))
	}
}

// print prints the attempt for people.
func (a registration) print(out *tty.Printer) {
	width := len(a.Look.ID)
	out.Print(out.Bold("Registration of "+a.Domain) + "\n")
	printFinding(out, a.Look.ID, width, a.Look)
	for _, f := range a.shown {
		printFinding(out, f.ID, width, f)
	}
	out.Print("\n")
	printVerdict(out, statusOf(a.Outcome), a.Verdict)
	if a.Outcome == registeredAll {
		out.Print("\n" + out.Wrap(0, "Owners pair their cars with this link, on their phone:") + "\n")
		links := map[string]bool{}
		for _, r := range a.Regions {
			if !links[r.PairingLink] {
				links[r.PairingLink] = true
				out.Print("  " + out.Bold(r.PairingLink) + "\n")
			}
		}
	}
}
