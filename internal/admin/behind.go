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
	"wellkey/server/upstream"
)

// A Behind is how a server behind this one stands.
type Behind struct {
	Target  string   `json:"target"`
	Open    int64    `json:"open"`              // connections, or requests to the application
	Total   uint64   `json:"total"`             // of them since the start
	Trouble *Trouble `json:"trouble,omitempty"` // left out while it answers, as far as known
}

// A Passed is a name whose connections go to another server, untouched.
type Passed struct {
	Name string `json:"name"`
	Behind
}

// A Trouble is that a server behind cannot be reached, or fails. It is found out when
// somebody wants something of it, and so is its end: it stands here until somebody comes.
type Trouble struct {
	Since time.Time `json:"since"` // the first failure since it last answered
	Last  time.Time `json:"last"`  // the last one
	Seen  string    `json:"seen"`
	Cause string    `json:"cause"`
	Fix   string    `json:"fix"`
}

func viewTrouble(t trouble.Trouble) *Trouble {
	if t == (trouble.Trouble{}) {
		return nil
	}
	return &Trouble{t.Since, t.Last, t.Error, phrase.Sentence(t.Cause), phrase.Sentence(t.Fix)}
}

func viewPassed(all []passthrough.Status) []Passed {
	var out []Passed
	for _, s := range all {
		out = append(out, Passed{s.Name, Behind{s.Target, s.Open, s.Total, viewTrouble(s.Trouble)}})
	}
	return out
}

func viewUpstream(s *upstream.Status) *Behind {
	if s == nil {
		return nil
	}
	return &Behind{s.Target, s.Open, s.Total, viewTrouble(s.Trouble)}
}

// The ids of the checks of what is behind: passedPrefix begins that of a name that is
// passed on.
const (
	upstreamID   = "upstream"
	passedPrefix = "passthrough_"
)

// isBehind reports whether a check is of a server behind this one.
func isBehind(id string) bool { return id == upstreamID || strings.HasPrefix(id, passedPrefix) }

// oldTrouble is how long a failure says how a server is now. Its end is seen only when
// somebody comes, so afterwards nobody knows.
const oldTrouble = 10 * time.Minute

// behind judges the servers behind this one. Whatever becomes of them, the key is served,
// so they ask for a look at most.
func (s Status) behind() []Check {
	var checks []Check
	if u := s.Upstream; u != nil {
		checks = append(checks, u.judge(s.At, Check{ID: upstreamID, Title: "Application", Text: "Requests for all but the key go to " + u.Target + "."},
			u.Target+" failed, so visitors of your application got an error; the key is not concerned.",
			"Nobody has asked "+u.Target+" for anything since it failed, so whether it answers now is not known.",
			"Nobody has asked for anything but the key yet, so whether "+u.Target+" answers is not known."))
	}
	for _, p := range s.Passthrough {
		checks = append(checks, p.judge(s.At, Check{ID: passedPrefix + p.Name, Title: "Passthrough of " + p.Name, Text: p.Target + " takes the connections for " + p.Name + "."},
			p.Target+" could not be reached, so connections for "+p.Name+" were closed; the key is not concerned.",
			"Nobody has asked for "+p.Name+" since "+p.Target+" could not be reached, so whether it can be now is not known.",
			"Nobody has asked for "+p.Name+" yet, so whether "+p.Target+" can be reached is not known."))
	}
	return checks
}

// judge returns c, which is made for when all is well, with what is so of b: it failed,
// it did so long ago, or it was never tried.
func (b Behind) judge(now time.Time, c Check, failed, old, never string) Check {
	c.State = OK
	switch t := b.Trouble; {
	case t != nil:
		c.State, c.Text = Attention, failed
		if now.Sub(t.Last) > oldTrouble {
			c.State, c.Text = Unsure, old
		}
		c.Seen = fmt.Sprintf("First failed %s, last %s: %s.", relative(t.Since, now), relative(t.Last, now), t.Seen)
		c.Cause, c.Fix = brief(t.Cause), brief(t.Fix)
	case b.Total == 0:
		c.State, c.Text = Unsure, never
	}
	c.Text = brief(c.Text)
	return c
}

// TroublesBehind returns the checks of servers behind that ask for a look and stand in no
// checklist: of several sites, they concern all or none.
func (s Status) TroublesBehind() []Check {
	return slices.DeleteFunc(s.behind(), func(c Check) bool {
		return c.State != Attention || slices.ContainsFunc(s.Sites, func(site SiteView) bool {
			return slices.ContainsFunc(site.Checklist, func(other Check) bool { return other.ID == c.ID })
		})
	})
}

// factsBehind returns the facts for a check of a server behind.
func factsBehind(id string, all Status) []fact {
	if id == upstreamID && all.Upstream != nil {
		return all.Upstream.facts("Open requests", all.At)
	}
	for _, p := range all.Passthrough {
		if id == passedPrefix+p.Name {
			return p.facts("Open connections", all.At)
		}
	}
	return nil
}

func (b Behind) facts(open string, now time.Time) []fact {
	facts := []fact{{Name: "Target", Text: b.Target, Code: true}}
	if t := b.Trouble; t != nil {
		facts = append(facts, fact{Name: "Fails since", Time: momentOf(t.Since, now)}, fact{Name: "Last tried", Time: momentOf(t.Last, now)})
	}
	return append(facts, fact{Name: open, Text: strconv.FormatInt(b.Open, 10)}, fact{Name: "Since the start", Text: strconv.FormatUint(b.Total, 10)})
}
