package admin

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"wellkey/internal/phrase"
	"wellkey/registrar"
)

// perPage is how many sites one page of the list holds: enough to scan, and
// quick to draw on a phone.
const perPage = 100

// A pageView is what is drawn: words, already chosen.
type pageView struct {
	Title   string
	State   Condition // of the page: names its shape and colour
	At      moment
	Started moment
	Version string
	JSON    string // the same as JSON
	Again   string // the page itself
	Notice  string // about the process as a whole; "" if there is nothing to say
	Several bool   // there are more sites than this one
	Site    *siteView
	List    *listView
	Missing string // the domain that nobody knows
	Bad     []BadSite
	Behind  []Check // troubles of servers behind that stand in no checklist
}

// A moment is a time as it is shown: from now, and on the clock.
type moment struct{ Machine, Relative, Absolute string }

func momentOf(t, now time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	t = t.UTC()
	return moment{t.Format(time.RFC3339), relative(t, now), t.Format("2 Jan 2006, 15:04") + " UTC"}
}

func view(s Status, wanted choice, all int) pageView {
	v := pageView{
		At:      momentOf(s.At, s.At),
		Started: momentOf(s.Started, s.At),
		Version: s.Version,
		Several: all > 1,
		Bad:     s.BadSites,
		Behind:  s.TroublesBehind(),
	}
	switch {
	case wanted.Domain != "" && len(s.Sites) == 0:
		v.Title, v.State, v.Missing = "Unknown domain", Unsure, brief(wanted.Domain)
	case wanted.Domain != "", all == 1 && len(s.Sites) == 1:
		site := viewOfSite(s.Sites[0], s)
		site.Several = v.Several
		v.Title, v.State, v.Site = site.Domain+": "+conditionWord(site.Summary.State), site.Summary.State, &site
	default:
		list := viewOfList(s.Sites, wanted, all)
		v.Title, v.State, v.List = count(all, "domain"), list.State, &list
	}
	if !s.Ready {
		v.Notice = phrase.Sentence("not ready: " + s.NotReady)
	}
	query := wanted.query()
	v.Again = "status" + query
	if query == "" {
		query = "?"
	} else {
		query += "&"
	}
	v.JSON = "status" + query + "format=json"
	return v
}

// query returns c as the query of a link, "" if it asks for nothing.
func (c choice) query() string {
	v := url.Values{}
	for name, value := range map[string]string{"domain": c.Domain, "state": c.State, "q": c.Text} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if c.Page > 1 {
		v.Set("page", strconv.Itoa(c.Page))
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// A listView is the page of many sites.
type listView struct {
	State      Condition
	Text       string // is all well?
	Total      int
	Found      int
	From, To   int // of those found, which are on this page
	Choice     choice
	Conditions []option
	States     []option
	Rows       []listRow
	Previous   string
	Next       string
}

// An option is one state to filter by.
type option struct {
	Value, Word string
	Chosen      bool
}

// A listRow is one site in the list.
type listRow struct {
	Domain, Link string
	Summary      Summary
	Word         string
	Regions      []regionWord
}

type regionWord struct{ Region, Name, State string }

// viewOfList lists the sites that need somebody first.
func viewOfList(sites []SiteView, wanted choice, all int) listView {
	slices.SortStableFunc(sites, func(a, b SiteView) int {
		return cmp.Or(b.Summary.State.rank()-a.Summary.State.rank(), cmp.Compare(a.Domain, b.Domain))
	})
	v := listView{Total: all, Found: len(sites), Choice: wanted, State: OK}
	counts := map[Condition]int{}
	for _, s := range sites {
		counts[s.Summary.State]++
	}
	if len(sites) > 0 {
		v.State = sites[0].Summary.State
	}
	v.Text = listText(counts, len(sites), wanted != choice{Page: wanted.Page})
	for _, c := range conditions() {
		if c != Unsure { // no site as a whole is
			v.Conditions = append(v.Conditions, option{string(c), conditionWord(c), wanted.State == string(c)})
		}
	}
	for _, s := range registrar.States() {
		v.States = append(v.States, option{string(s), stateWords(s), wanted.State == string(s)})
	}
	first := min((wanted.Page-1)*perPage, len(sites))
	last := min(first+perPage, len(sites))
	v.From, v.To = first+1, last
	for _, s := range sites[first:last] {
		v.Rows = append(v.Rows, rowOf(s))
	}
	if first > 0 {
		v.Previous = "status" + wanted.page(wanted.Page-1).query()
	}
	if last < len(sites) {
		v.Next = "status" + wanted.page(wanted.Page+1).query()
	}
	return v
}

func (c choice) page(n int) choice {
	c.Page = n
	return c
}

// listText answers for many sites at once whether all is well.
func listText(counts map[Condition]int, found int, filtered bool) string {
	of := count(found, "domain")
	if filtered {
		of = fmt.Sprintf("%s found", of)
	}
	switch {
	case found == 0 && filtered:
		return "No domain fits the filter."
	case found == 0:
		return "No domain is configured yet."
	case counts[Action]+counts[Step] > 0:
		return fmt.Sprintf("%d of %s need you.", counts[Action]+counts[Step], of)
	case counts[Attention] > 0:
		return fmt.Sprintf("%d of %s ask for a look; nothing is broken.", counts[Attention], of)
	case counts[Waiting] > 0:
		return fmt.Sprintf("%d of %s are on their way; there is nothing for you to do.", counts[Waiting], of)
	case filtered:
		return of + "; all is well with them."
	}
	return "All is well with " + of + "."
}

func rowOf(s SiteView) listRow {
	row := listRow{
		Domain: s.Domain, Link: "status" + choice{Domain: s.Domain}.query(),
		Summary: s.Summary, Word: conditionWord(s.Summary.State),
	}
	if s.Summary.State == OK {
		row.Summary.Text = "Registered in every region."
	}
	for _, r := range s.Registrations {
		row.Regions = append(row.Regions, regionWord{string(r.Region), r.Region.Name(), stateWords(r.State)})
	}
	return row
}
