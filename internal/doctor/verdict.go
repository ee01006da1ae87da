package doctor

import (
	"fmt"
	"slices"
	"strings"

	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/registrar/reach"
)

// conclude sets outcome, verdict and first from the groups.
func (r *Report) conclude(look reach.Report) {
	count := map[finding.Status]int{}
	for _, g := range r.Groups {
		for _, f := range g.Findings {
			count[f.Status]++
		}
	}
	switch fails, unknowns, warnings := count[finding.Fail], count[finding.Unknown], count[finding.Warn]; {
	case fails > 0:
		r.Outcome, r.First = Fix, r.first(finding.Fail, look)
		r.Verdict = things(fails) + " must be fixed; begin with " + begin(*r.First)
	case unknowns > 0:
		r.Outcome, r.First = Undecided, r.first(finding.Unknown, look)
		r.Verdict = "Nothing wrong was found, but " + things(unknowns) + " could not be decided from here; begin with " + begin(*r.First)
	case warnings > 0:
		r.Outcome, r.First = Well, r.first(finding.Warn, look)
		r.Verdict = "Nothing must be fixed, but " + things(warnings) + " should be looked at: " + strings.Join(r.warned(), ", ") + "."
	default:
		r.Outcome = Well
		r.Verdict = "All is well: " + r.Domain + " gives its key" + r.registrations() + "."
	}
}

// first returns what to begin with: a published private key before all, then
// what decides the reachability, then in the order of the groups.
func (r *Report) first(status finding.Status, look reach.Report) *finding.Finding {
	var found []finding.Finding
	for _, g := range r.Groups {
		for _, f := range g.Findings {
			if f.Status == status {
				found = append(found, f)
			}
		}
	}
	deciding := look.Deciding()
	for _, wanted := range []func(finding.Finding) bool{
		func(f finding.Finding) bool { return f.ID == "key_private" },
		func(f finding.Finding) bool { return f.ID == idDomain },
		func(f finding.Finding) bool { return f.ID == deciding.ID && f.Seen == deciding.Seen },
	} {
		if i := slices.IndexFunc(found, wanted); i >= 0 {
			return &found[i]
		}
	}
	return &found[0]
}

func things(n int) string {
	if n == 1 {
		return "1 thing"
	}
	return fmt.Sprintf("%d things", n)
}

func begin(f finding.Finding) string { return label(f) + ": " + f.Fix }

func label(f finding.Finding) string {
	if f.On != "" {
		return f.ID + " (" + f.On + ")"
	}
	return f.ID
}

// warned returns the warnings by id and place.
func (r *Report) warned() []string {
	var all []string
	for _, g := range r.Groups {
		for _, f := range g.Findings {
			if f.Status == finding.Warn {
				all = append(all, label(f))
			}
		}
	}
	return all
}

// registrations completes the sentence about a domain that is well.
func (r *Report) registrations() string {
	var regions []string
	for _, g := range r.Groups {
		for _, f := range g.Findings {
			if f.ID == idRegistered && f.Status == finding.OK {
				regions = append(regions, g.On)
			}
		}
	}
	if len(regions) == 0 {
		return "; Tesla was not asked"
	}
	return ", and Tesla has it on record in " + phrase.List(regions)
}
