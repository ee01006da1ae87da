package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"wellkey/registrar"
)

// A choice is what the query of /status asks for.
type choice struct {
	Domain string // only this site
	State  string // only sites in this condition, or with a registration in this state
	Text   string // only sites whose domain holds this
	Page   int    // of the list of sites, from 1; only for people
}

func choiceOf(query url.Values) choice {
	page, err := strconv.Atoi(query.Get("page"))
	if err != nil || page < 1 {
		page = 1
	}
	return choice{
		Domain: strings.ToLower(strings.TrimSpace(query.Get("domain"))),
		State:  strings.TrimSpace(query.Get("state")),
		Text:   strings.ToLower(strings.TrimSpace(query.Get("q"))),
		Page:   page,
	}
}

// of returns the sites that are asked for, in the order of sites.
func (c choice) of(sites []SiteView) []SiteView {
	chosen := []SiteView{}
	for _, s := range sites {
		if (c.Domain == "" || s.Domain == c.Domain) && strings.Contains(s.Domain, c.Text) && c.stateFits(s) {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

func (c choice) stateFits(s SiteView) bool {
	if c.State == "" || string(s.Summary.State) == c.State {
		return true
	}
	for _, r := range s.Registrations {
		if r.State == registrar.State(c.State) {
			return true
		}
	}
	return false
}

// wantsPage reports whether r comes from somebody who would rather see the page
// than JSON: format= says so, or else the Accept field does. Whoever likes both
// the same, as curl does, gets JSON.
func wantsPage(r *http.Request) bool {
	switch r.URL.Query().Get("format") {
	case "json":
		return false
	case "html":
		return true
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	return quality(accept, "text", "html") > quality(accept, "application", "json")
}

// quality returns how much an Accept field likes a media type, from 0 to 1: by
// the most specific range that holds it (RFC 9110, section 12.5.1).
func quality(accept, kind, subkind string) float64 {
	best, specific := 0.0, 0
	for item := range strings.SplitSeq(accept, ",") {
		media, parameters, _ := strings.Cut(item, ";")
		s := map[string]int{kind + "/" + subkind: 3, kind + "/*": 2, "*/*": 1}[strings.ToLower(strings.TrimSpace(media))]
		if s <= specific {
			continue
		}
		best, specific = 1, s
		for p := range strings.SplitSeq(parameters, ";") {
			if value, found := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "q="); found {
				best, _ = strconv.ParseFloat(value, 64) // what is no number is not liked
			}
		}
	}
	return best
}
