package cli_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testworld"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// outcomes says for every code of the catalogue which state it ends in: refused
// where Tesla says no and a person must act, unavailable where it passes or is
// Tesla's or the network's fault.
var outcomes = map[fleetapi.ReasonCode]registrar.State{
	fleetapi.ClientinfoTimeout:     registrar.Unavailable,
	fleetapi.UnauthorizedClient:    registrar.Refused,
	fleetapi.ClientNotFound:        registrar.Refused,
	fleetapi.InvalidResource:       registrar.Refused,
	fleetapi.InvalidRequest:        registrar.Refused,
	fleetapi.InvalidAudience:       registrar.Unavailable, // a fault of Tesla's, seen with new applications
	fleetapi.InvalidScope:          registrar.Refused,
	fleetapi.UnsupportedGrantType:  registrar.Refused,
	fleetapi.InvalidDomain:         registrar.Refused,
	fleetapi.RootDomainMismatch:    registrar.Refused,
	fleetapi.UserToken:             registrar.Refused,
	fleetapi.NotRegisteredInRegion: registrar.Registered, // an answer, not a failure: it is registered then
	fleetapi.DomainNotSet:          registrar.Registered, // the same
	fleetapi.DomainOfAnotherApp:    registrar.Registered, // the same; the POST would tell if it were another's
	fleetapi.KeyNotFound:           registrar.Registered, // the same
	fleetapi.OutOfRegion:           registrar.Refused,    // but in answer to a question it is like the four above
	fleetapi.NotPartnerAccount:     registrar.Unavailable,
	fleetapi.MissingScopes:         registrar.Refused,
	fleetapi.KeyTaken:              registrar.Refused,
	fleetapi.DomainTaken:           registrar.Refused,
	fleetapi.CSRInvalid:            registrar.Unavailable, // Tesla's own record is damaged
	fleetapi.KeyTooLarge:           registrar.Refused,
	fleetapi.UpdateInProgress:      registrar.Unavailable,
	fleetapi.InternalError:         registrar.Unavailable,
	fleetapi.KeyDownloadFailed:     registrar.Refused,
	fleetapi.ValidationFailed:      registrar.Refused,
	fleetapi.TokenExpired:          registrar.Unavailable,
	fleetapi.Unauthorized:          registrar.Refused,
	fleetapi.PaymentRequired:       registrar.Refused,
	fleetapi.WAFBlocked:            registrar.Refused,
	fleetapi.Forbidden:             registrar.Refused,
	fleetapi.NotFound:              registrar.Refused,
	fleetapi.RateLimited:           registrar.Unavailable,
	fleetapi.Unavailable:           registrar.Unavailable,
	fleetapi.Redirected:            registrar.Refused,
	fleetapi.NotJSON:               registrar.Unavailable, // most likely a maintenance page, which passes
	fleetapi.UnknownRefusal:        registrar.Refused,
	fleetapi.BadAnswer:             registrar.Unavailable,
	fleetapi.Timeout:               registrar.Unavailable,
	fleetapi.DNS:                   registrar.Unavailable,
	fleetapi.TLS:                   registrar.Unavailable,
	fleetapi.ConnectionRefused:     registrar.Unavailable,
	fleetapi.ConnectionReset:       registrar.Unavailable,
	fleetapi.Network:               registrar.Unavailable,
}

// TestEveryRefusal has every row of the catalogue happen in na, for each of its
// operations, and reads what the operator is told. Meanwhile eu is registered:
// regions do not hold each other up.
func TestEveryRefusal(t *testing.T) {
	t.Parallel()
	for _, row := range fleetapi.Catalogue() {
		want, ok := outcomes[row.Code]
		if !ok {
			t.Errorf("%s: nobody said what it ends in", row.Code)
			continue
		}
		for _, op := range row.Operations {
			if row.Code == fleetapi.Timeout && op == fleetapi.OpRegister {
				// The same as for questions, but only after 30 s: fleetapi's own
				// tests have it with a shorter deadline.
				continue
			}
			t.Run(string(row.Code)+"/"+string(op), func(t *testing.T) {
				t.Parallel()
				refusalTest{newRegistrable(t, withFiles), row, op, want}.check()
			})
		}
	}
}

type refusalTest struct {
	*world
	row  fleetapi.Refusal
	op   fleetapi.Operation
	want registrar.State
}

func (c refusalTest) check() {
	c.writeKey()
	if c.op == fleetapi.OpPublicKey && c.row.Absent {
		c.absent()
		return
	}
	var settings []string
	eu := registrar.Registered
	if url := c.Tesla.BrokenURL(c.row.Code); url != "" {
		if c.op != fleetapi.OpToken { // which comes first, and is the same wherever it goes
			return
		}
		settings = append(settings, "TESLA_AUTH_URL="+url)
		eu = c.want // both regions get their tokens there
	} else {
		c.inject(c.row.Code, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.NA}, Operations: []fleetapi.Operation{c.op}})
	}
	r := c.world.run(settings...)
	c.wantTold(c.awaitStates(c.want, eu), r.Log)
}

// absent is for the rows that, in answer to a question, say that there is no
// registration: a registration follows.
func (c refusalTest) absent() {
	c.inject(c.row.Code, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.NA}, Operations: []fleetapi.Operation{c.op}, Times: 1})
	r := c.world.run()
	c.awaitRegistered()
	c.wantPosts(2)
	if strings.Contains(r.Log.String(), `"level":"warn"`) || strings.Contains(r.Log.String(), `"level":"error"`) {
		c.t.Errorf("it alarms the operator:\n%s", r.Log)
	}
}

// wantTold wants the refusal in status, log and metrics: reason, Tesla's text,
// cause, fix, txid.
func (c refusalTest) wantTold(s admin.Status, log *testworld.Log) {
	c.t.Helper()
	na := s.Sites[0].Registrations[0]
	subject := fleetapi.Subject{Region: fleetapi.NA, Domain: c.Domain, ClientID: testworld.ClientID,
		BaseURL: c.Tesla.BaseURL(fleetapi.NA), AuthURL: c.Tesla.AuthURL()}
	if url := c.Tesla.BrokenURL(c.row.Code); url != "" {
		subject.AuthURL = url
	}
	if c.op == fleetapi.OpToken {
		subject.Domain = ""
	}
	fix := subject.Fill(c.row.Fix)
	if na.State == registrar.Refused && c.row.Retry != fleetapi.RetryDaily {
		fix += " Once that is done, SIGHUP makes wellkey ask Tesla again at once (docs/operating.md); by itself it asks at the next attempt, which may be hours away."
	}
	for name, pair := range map[string][2]string{
		"reason": {na.Reason, string(c.row.Code)},
		"cause":  {na.Cause, subject.Fill(c.row.Cause)},
		"fix":    {na.Fix, fix},
	} {
		if pair[0] != pair[1] || pair[0] == "" {
			c.t.Errorf("the status gives the %s %q, want %q", name, pair[0], pair[1])
		}
	}
	for _, part := range append(c.texts(subject), subject.Fill(c.row.Summary)) {
		if !strings.Contains(na.Seen, part) {
			c.t.Errorf("the status says %q, which lacks %q", na.Seen, part)
		}
	}
	txid := c.wantTxID(na)
	c.awaitLine(log, "registration", "region", "na", "state", string(c.want), "reason", na.Reason,
		"seen", na.Seen, "cause", na.Cause, "fix", na.Fix, "txid", txid, "level", levels[c.want])
	if na.Next.IsZero() {
		c.t.Error("the status does not say when it is tried again")
	}
	m := c.metrics()
	for series, want := range map[string]string{
		fmt.Sprintf(`wellkey_registration_status{domain=%q,region="na",state=%q}`, c.Domain, c.want): "1",
		fmt.Sprintf(`wellkey_tesla_api_failures_total{reason=%q,region="na"}`, c.row.Code):           "1",
	} {
		again := !c.row.Local && c.op != fleetapi.OpToken && c.row.Examples[0].Status == 401 && m[series] == "2" // with a new token
		if m[series] != want && !again {
			c.t.Errorf("%s is %q, want %s", series, m[series], want)
		}
	}
	c.wantStillServed()
}

var levels = map[registrar.State]string{registrar.Refused: "error", registrar.Unavailable: "warn"}

// texts returns Tesla's own words in the answer, as they are quoted.
func (c refusalTest) texts(subject fleetapi.Subject) []string {
	if c.row.Local {
		return nil
	}
	example := c.row.Examples[0]
	var words struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	parts := []string{fmt.Sprintf("status %d", example.Status)}
	subject.Domain = c.Domain
	if c.op == fleetapi.OpToken { // the simulator knows no domain there
		subject.Domain = ""
	}
	if json.Unmarshal([]byte(subject.Fill(example.Body)), &words) == nil {
		for _, text := range []string{words.Error, words.Description} {
			if runes := []rune(text); len(runes) > 150 {
				text = string(runes[:150]) // the whole is cut at 300 characters
			}
			parts = append(parts, strings.Trim(strconv.Quote(text), `"`))
		}
	}
	return parts
}

// wantTxID returns Tesla's name for the request; there is one wherever Tesla
// answers and gives one.
func (c refusalTest) wantTxID(na admin.Registration) string {
	c.t.Helper()
	given := !c.row.Local && c.row.Code != fleetapi.Redirected && (c.op != fleetapi.OpToken || slices.ContainsFunc(c.row.Examples[:1], func(x fleetapi.Example) bool {
		return strings.Contains(x.Body, "{txid}") || strings.Contains(x.Body, "{reference}")
	}))
	if na.LastFailure == nil {
		c.t.Fatal("the status knows of no failure")
	}
	if got := na.LastFailure.TxID; (got != "") != given || given && !strings.Contains(na.Seen, got) {
		c.t.Errorf("the txid is %q, and the status says %q", got, na.Seen)
	}
	return na.LastFailure.TxID
}

// wantStillServed: whatever Tesla says, visitors get the key.
func (c refusalTest) wantStillServed() {
	c.t.Helper()
	if visit := c.fetch(); visit.Status != 200 {
		c.t.Errorf("the key's path answers %d", visit.Status)
	}
	if ready := c.get("/readyz"); ready.Status != 200 {
		c.t.Errorf("/readyz answers %d %q: it must not depend on Tesla", ready.Status, ready.Body)
	}
}

// TestAbsentForGood: a region that goes on saying that there is no registration,
// even after it accepted one, is not believed to be registered, and not flooded.
func TestAbsentForGood(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.writeKey()
	w.inject(fleetapi.NotRegisteredInRegion, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.NA}})
	r := w.run()
	s := w.awaitStates(registrar.Unavailable, registrar.Registered)
	if na := s.Sites[0].Registrations[0]; na.Reason != registrar.ReasonNotReadBack || na.Cause == "" || na.Fix == "" {
		t.Errorf("the status says %+v", na)
	}
	w.awaitLine(r.Log, "registration", "level", "warn", "region", "na", "reason", registrar.ReasonNotReadBack)
	w.wantPosts(2)
}

// TestOtherKeyReadBack: Tesla downloaded from another host than ours.
func TestOtherKeyReadBack(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	key := w.writeKey()
	_, other := newKey(t)
	limit := func(op fleetapi.Operation) fleetsim.Limit {
		return fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.NA}, Operations: []fleetapi.Operation{op}, Times: 1}
	}
	w.inject(fleetapi.NotRegisteredInRegion, limit(fleetapi.OpPublicKey))
	w.Tesla.Answer(fleetapi.Example{Status: 200, Body: `{"response":{"public_key":"` + other.Hex() + `"}}`}, limit(fleetapi.OpPublicKey))
	r := w.run()
	w.awaitStates(registrar.Mismatch, registrar.Registered)
	w.awaitLine(r.Log, "registration", "region", "na", "state", "mismatch", "registered_fingerprint", other.Fingerprint())
	w.wantServed(key)
}
