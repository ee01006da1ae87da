package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"wellkey/internal/config"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// A fault is a way in which the simulated Tesla fails: a row of the catalogue
// of refusals, or a way to fail that is no refusal.
type fault struct {
	name    string
	summary string
	row     fleetapi.Refusal // where it is one
	kind    fleetsim.Kind    // else
}

// kinds says what the ways to fail are that have no row of their own.
var kinds = map[fleetsim.Kind]string{
	fleetsim.Hang:          "Tesla takes the request and never answers",
	fleetsim.Drip:          "an answer that never ends, one byte at a time",
	fleetsim.Reset:         "Tesla resets the connection",
	fleetsim.Cut:           "the answer is shorter than announced",
	fleetsim.Huge:          "an answer of 2 MiB",
	fleetsim.HTML:          "a web page with status 200",
	fleetsim.Redirect:      "a redirect to another host, which must not see the secret",
	fleetsim.DuplicateKeys: "JSON that says two things under one name",
	fleetsim.WrongToken:    "the token of a user instead of the application's",
	fleetsim.OtherAudience: "the token of another region",
	fleetsim.OldToken:      "a token that is over",
	fleetsim.Garbage:       "bytes that are not HTTP",
}

// allFaults returns the rows of the catalogue and then the other kinds, with
// summaries about domain.
func allFaults(domain string) []fault {
	var all []fault
	about := fleetapi.Subject{Region: fleetapi.NA, Domain: domain, ClientID: testworld.ClientID}
	for _, row := range fleetapi.Catalogue() {
		all = append(all, fault{name: string(row.Code), summary: about.Fill(row.Summary), row: row})
	}
	for _, kind := range fleetsim.Kinds() {
		all = append(all, fault{name: string(kind), summary: kinds[kind], kind: kind})
	}
	return all
}

// findFault returns the fault with the name. The error names the one that was
// probably meant.
func findFault(name, domain string) (fault, error) {
	all := allFaults(domain)
	var names []string
	for _, f := range all {
		if f.name == name {
			return f, nil
		}
		names = append(names, f.name)
	}
	hint := "see -list-faults"
	if near := config.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return fault{}, fmt.Errorf("there is no fault %q; %s", name, hint)
}

func (f fault) isZero() bool { return f.name == "" }

// absentOnly reports whether f is but an answer to a question, and says that
// nothing is registered: to wellkey that is news, and no failure.
func (f fault) absentOnly() bool {
	return f.row.Absent && slices.Equal(f.row.Operations, []fleetapi.Operation{fleetapi.OpPublicKey})
}

// inject puts the fault into the simulator for good, and returns the settings
// that wellkey needs for it, if any: three faults are about the way to Tesla.
func (f fault) inject(tesla *fleetsim.Sim) ([]string, error) {
	switch {
	case f.isZero():
		return nil, nil
	case f.kind != "":
		tesla.Break(f.kind, fleetsim.Limit{})
		return nil, nil
	}
	if url := tesla.BrokenURL(f.row.Code); url != "" {
		return []string{"TESLA_AUTH_URL=" + url}, nil
	}
	return nil, tesla.Inject(f.row.Code, fleetsim.Limit{})
}

// answer is what Tesla says, as people read it: status and text.
func (f fault) answer(about fleetapi.Subject) string {
	x := f.row.Examples[0]
	var body struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal([]byte(about.Fill(x.Body)), &body) // what is no JSON has no text
	return fmt.Sprintf("%d %q", x.Status, cmp.Or(body.Error, "(no text)"))
}
