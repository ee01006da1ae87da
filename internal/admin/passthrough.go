package admin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"wellkey/internal/phrase"
	"wellkey/server/passthrough"
	"wellkey/server/trouble"
)

// A Passed is a name whose connections go to another server, untouched.
type Passed struct {
	Name    string         `json:"name"`
	Target  string         `json:"target"`
	Open    int64          `json:"open"`              // connections
	Total   uint64         `json:"total"`             // connections since the start
	Trouble *PassedTrouble `json:"trouble,omitempty"` // left out while the target can be reached, as far as known
}

// A PassedTrouble is that the target cannot be reached. It is found out when
// somebody wants to go there, and so is its end: it stands here until somebody comes.
type PassedTrouble struct {
	Since time.Time `json:"since"` // the first failure since the target last answered
	Last  time.Time `json:"last"`  // the last one
	Seen  string    `json:"seen"`
	Cause string    `json:"cause"`
	Fix   string    `json:"fix"`
}

func viewPassed(all []passthrough.Status) []Passed {
	var out []Passed
	for _, s := range all {
		p := Passed{Name: s.Name, Target: s.Target, Open: s.Open, Total: s.Total}
		if t := s.Trouble; t != (trouble.Trouble{}) {
			p.Trouble = &PassedTrouble{t.Since, t.Last, t.Error, phrase.Sentence(t.Cause), phrase.Sentence(t.Fix)}
		}
		out = append(out, p)
	}
	return out
}

// passedPrefix begins the id of the check of a name that is passed on.
const passedPrefix = "passthrough_"

// oldTrouble is how long a failure says how a target is now. Its end is seen only when
// somebody comes, so afterwards nobody knows.
const oldTrouble = 10 * time.Minute

// checkPassed judges a name that is passed on. Whatever becomes of it, the key is
// served, so it asks for a look at most.
func checkPassed(p Passed, now time.Time) Check {
	c := Check{ID: passedPrefix + p.Name, Title: "Passthrough of " + p.Name, State: OK, Text: p.Target + " takes the connections for " + p.Name + "."}
	switch t := p.Trouble; {
	case t != nil:
		c.State, c.Text = Attention, p.Target+" could not be reached, so connections for "+p.Name+" were closed; the key is not concerned."
		if now.Sub(t.Last) > oldTrouble {
			c.State, c.Text = Unsure, "Nobody has asked for "+p.Name+" since "+p.Target+" could not be reached, so whether it can be now is not known."
		}
		c.Seen = fmt.Sprintf("First failed %s, last %s: %s.", relative(t.Since, now), relative(t.Last, now), t.Seen)
		c.Cause, c.Fix = brief(t.Cause), brief(t.Fix)
	case p.Total == 0:
		c.State, c.Text = Unsure, "Nobody has asked for "+p.Name+" yet, so whether "+p.Target+" can be reached is not known."
	}
	return c
}

// PassedTroubles returns the checks of passthrough that ask for a look and stand in no
// checklist: of several sites, they concern all or none.
func (s Status) PassedTroubles() []Check {
	var checks []Check
	for _, p := range s.Passthrough {
		c := checkPassed(p, s.At)
		if c.State != Attention {
			continue
		}
		told := slices.ContainsFunc(s.Sites, func(site SiteView) bool {
			return slices.ContainsFunc(site.Checklist, func(other Check) bool { return other.ID == c.ID })
		})
		if !told {
			checks = append(checks, c)
		}
	}
	return checks
}

func passedFacts(id string, all Status) []fact {
	i := slices.IndexFunc(all.Passthrough, func(p Passed) bool { return id == passedPrefix+p.Name })
	if i < 0 {
		return nil
	}
	p := all.Passthrough[i]
	facts := []fact{{Name: "Target", Text: p.Target, Code: true}}
	if t := p.Trouble; t != nil {
		facts = append(facts, fact{Name: "Fails since", Time: momentOf(t.Since, all.At)}, fact{Name: "Last tried", Time: momentOf(t.Last, all.At)})
	}
	return append(facts, fact{Name: "Open connections", Text: strconv.FormatInt(p.Open, 10)}, fact{Name: "Since the start", Text: strconv.FormatUint(p.Total, 10)})
}

// isPassed reports whether a check is one of checkPassed.
func isPassed(id string) bool { return strings.HasPrefix(id, passedPrefix) }
