package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"wellkey/internal/fleetsim"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// TestEveryRefusal is the promise of the demo: whatever Tesla refuses, the
// person who reads the output learns what it said, why, and what to do.
func TestEveryRefusal(t *testing.T) {
	t.Parallel()
	for _, row := range fleetapi.Catalogue() {
		t.Run(string(row.Code), func(t *testing.T) {
			t.Parallel()
			domain, at := place()
			code, out, stderr := demoAt(t.Context(), at, "-once", "-fault", string(row.Code))
			if code != 1 || stderr != "" {
				t.Fatalf("got %d, %q\n%s", code, stderr, out)
			}
			for _, region := range regions {
				about := fleetapi.Subject{Region: region, Domain: domain, ClientID: testworld.ClientID,
					BaseURL: "http://base.url", AuthURL: "http://auth.url"}
				says := func(text string) string {
					quoted := regexp.QuoteMeta(about.Fill(text))
					return strings.NewReplacer(`http://base\.url`, `\S+`, `http://auth\.url`, `\S+`).Replace(quoted)
				}
				if (fault{row: row}).absentOnly() {
					inOrder(t, out, string(region)+`: unavailable, not_read_back$`, `^       next try in .*, by itself$`,
						`^       fault    Tesla's answer to every question is `+strconv.Itoa(row.Examples[0].Status)+` "`+says(text(row))+`": `+says(row.Cause)+" "+says(row.Fix)+`$`,
						`^The outcome$`, `  fail     `+string(region)+`: not registered: unavailable, not_read_back$`)
					continue
				}
				what := `^       what     .* (in|for) ` + string(region) + `: ` + says(row.Summary) + ` \(` + string(row.Code) + `.*\)`
				if said := text(row); said != "" {
					what += `: "` + says(quotable(said)) + `"`
				} else if row.Local {
					what += `: ".+"` // what failed on the way
				}
				inOrder(t, out, `  (fail|warn)     `+string(region)+`: (refused|unavailable), `+string(row.Code)+`$`, what,
					`^       cause    `+says(row.Cause)+`$`, `^       fix      `+says(row.Fix)+`( Once that is done, SIGHUP .*)?$`, `^       next try in \d+ \w+, by itself$`,
					`^The outcome$`, `  fail     `+string(region)+`: not registered: (refused|unavailable), `+string(row.Code)+`$`)
			}
		})
	}
}

// text returns what Tesla says in the first example of row: words of JSON, or
// the whole of anything else. Of a success that makes no sense nothing is shown,
// since it may hold a token.
func text(row fleetapi.Refusal) string {
	if len(row.Examples) == 0 || row.Examples[0].Status == http.StatusOK {
		return ""
	}
	body := strings.TrimSpace(row.Examples[0].Body)
	var words struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal([]byte(body), &words) != nil {
		return body
	}
	return strings.Trim(words.Error+": "+words.Description, ": ")
}

// quotable returns text as it is between quotes.
func quotable(text string) string { return strings.Trim(strconv.Quote(text), `"`) }

func TestEveryKind(t *testing.T) {
	t.Parallel()
	codes := map[fleetsim.Kind]fleetapi.ReasonCode{
		fleetsim.Hang: fleetapi.Timeout, fleetsim.Drip: fleetapi.Timeout, fleetsim.Reset: fleetapi.ConnectionReset,
		fleetsim.Cut: fleetapi.BadAnswer, fleetsim.Huge: fleetapi.BadAnswer, fleetsim.HTML: fleetapi.NotJSON,
		fleetsim.Redirect: fleetapi.Redirected, fleetsim.DuplicateKeys: fleetapi.BadAnswer,
		fleetsim.WrongToken: fleetapi.UserToken, fleetsim.OldToken: fleetapi.TokenExpired, fleetsim.Garbage: fleetapi.Network,
		fleetsim.OtherAudience: "(bad_answer|out_of_region)", // by whether it is a region that we know
	}
	for _, kind := range fleetsim.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			code, out, stderr := demo(t.Context(), "-once", "-fault", string(kind))
			if code != 1 || stderr != "" {
				t.Errorf("got %d, %q\n%s", code, stderr, out)
			}
			for _, region := range regions {
				inOrder(t, out, `with the fault `+string(kind)+`: `, string(region)+`: (refused|unavailable), `+string(codes[kind])+`$`,
					`^       what     `, `^       cause    `, `^       fix      `, `^The outcome$`,
					`  fail     `+string(region)+`: not registered: (refused|unavailable), `+string(codes[kind])+`$`)
			}
		})
	}
}
