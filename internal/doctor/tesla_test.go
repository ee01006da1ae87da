package doctor_test

import (
	"context"
	"strings"
	"testing"

	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testnet"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

func TestTesla(t *testing.T) {
	inEU := fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.EU}}
	inject := func(code fleetapi.ReasonCode, op fleetapi.Operation) func(*world) {
		return func(w *world) {
			limit := inEU
			limit.Operations = []fleetapi.Operation{op}
			if err := w.tesla.Inject(code, limit); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for _, row := range []struct {
		name    string
		build   func(*world)
		outcome doctor.Outcome
		want    []string
		seen    string // in what was seen of the first
		fix     string
	}{
		{"not registered", func(w *world) { w.tesla.RemoveAccount(fleetapi.EU, domain) }, doctor.Fix,
			[]string{"tesla_key@eu fail"}, "not_registered_in_region", `Run "wellkey register key.example.test"`},
		{"registered by another application", inject(fleetapi.DomainOfAnotherApp, fleetapi.OpPublicKey), doctor.Fix,
			[]string{"tesla_key@eu fail"}, "no access to key.example.test", "use the client id and secret of that one"},
		{"another key on record", func(w *world) {
			_, other := testnet.Key(w.t)
			w.enroll(other, fleetapi.EU)
			w.config.Local = doctor.Local{}
		}, doctor.Fix,
			[]string{"tesla_key@eu fail"}, "is published", "every owner must then pair again"},
		{"the local key is on record, and another is published", func(w *world) {
			_, other := testnet.Key(w.t)
			w.config.Local.Key = other
			w.enroll(other, fleetapi.NA, fleetapi.EU)
		}, doctor.Fix, []string{"key_match fail", "tesla_key@na fail", "tesla_key@eu fail"}, "another key", "publish that key there"},
		{"wrong secret", inject(fleetapi.UnauthorizedClient, fleetapi.OpToken), doctor.Fix,
			[]string{"tesla_token@eu fail"}, "unauthorized_client", "client_secret"},
		{"a user's token", func(w *world) { w.tesla.Break(fleetsim.WrongToken, inEU) }, doctor.Fix,
			[]string{"tesla_token@eu fail"}, "user_token", "tesla_auth_url"},
		{"Tesla's own fault", inject(fleetapi.InternalError, fleetapi.OpPublicKey), doctor.Undecided,
			[]string{"tesla_key@eu unknown"}, "upstream internal error", "Nothing has to be done"},
		{"no key in the answer", func(w *world) {
			w.tesla.Answer(fleetapi.Example{Status: 200, Body: `{"response":{"public_key":"RSA\u001b[2J"}}`},
				fleetsim.Limit{Regions: inEU.Regions, Operations: []fleetapi.Operation{fleetapi.OpPublicKey}})
		}, doctor.Undecided, []string{"tesla_key@eu unknown"}, "no P-256 key", "report"},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t).withTesla()
			w.good(w.host)
			w.records("A " + w.host)
			row.build(w)
			report := w.examine()
			expect(t, report, row.outcome, row.want...)
			if !strings.Contains(report.First.Seen, row.seen) || !strings.Contains(report.First.Fix, row.fix) {
				t.Errorf("first = %+v, want %q and %q", report.First, row.seen, row.fix)
			}
			if n := w.tesla.Count(fleetapi.OpRegister); n != 0 {
				t.Errorf("the doctor registered %d times", n)
			}
		})
	}
}

func TestTeslaIsDown(t *testing.T) {
	w := newWorld(t).withTesla()
	w.good(w.host)
	w.records("A " + w.host)
	bases := w.tesla.BaseURLs()
	bases[fleetapi.EU] = w.tesla.BrokenURL(fleetapi.ConnectionRefused)
	w.config.Tesla = down{w.client(w.tesla.AuthURL(), bases)}
	report := w.examine()
	expect(t, report, doctor.Undecided, "tesla_status@eu unknown", "tesla_key@eu unknown")
	if f := find(report, "tesla_status"); f.Status != finding.OK {
		t.Errorf("in na: %+v, want ok", f)
	}
}

// down is a client whose tokens are given out still.
type down struct{ *fleetapi.Client }

func (d down) Token(context.Context, fleetapi.Region) (fleetapi.TokenInfo, error) {
	return fleetapi.TokenInfo{}, nil
}

func (d down) PublicKey(ctx context.Context, region fleetapi.Region, domain string) (string, error) {
	if region == fleetapi.EU {
		return "", d.Status(ctx, region)
	}
	return d.Client.PublicKey(ctx, region, domain)
}

// What a token says of itself is compared with what was asked for; a token that
// says nothing is no fault.
func TestTokens(t *testing.T) {
	_, key := testnet.Key(t)
	for name, row := range map[string]struct {
		token fleetapi.TokenInfo
		want  []string
		ok    []string
	}{
		"good":             {fleetapi.TokenInfo{Audience: []string{"x", fleetapi.NA.BaseURL()}, Scopes: []string{"openid"}}, nil, []string{"tesla_audience", "tesla_scopes"}},
		"silent":           {fleetapi.TokenInfo{}, nil, nil},
		"for another":      {fleetapi.TokenInfo{Audience: []string{fleetapi.EU.BaseURL()}, Scopes: []string{"openid"}}, []string{"tesla_audience@na warn"}, []string{"tesla_scopes"}},
		"of another scope": {fleetapi.TokenInfo{Audience: []string{fleetapi.NA.BaseURL()}, Scopes: []string{"x"}}, []string{"tesla_scopes@na warn"}, []string{"tesla_audience"}},
	} {
		report := doctor.Run(context.Background(), doctor.Config{Domain: domain, Prober: &stub{}, Local: doctor.Local{Path: "/k", Key: key},
			Regions: []fleetapi.Region{fleetapi.NA}, Tesla: says{row.token, key}})
		expect(t, report, doctor.Well, row.want...)
		for _, id := range row.ok {
			if f := find(report, id); f.Status != finding.OK {
				t.Errorf("%s: %+v, want ok", name, f)
			}
		}
		if f := find(report, "tesla_key"); f.Status != finding.OK || !strings.Contains(f.Seen, "in the key file") {
			t.Errorf("%s: %+v, want that it is in the key file", name, f)
		}
	}
}

// says is a Tesla that is up and has the key.
type says struct {
	token fleetapi.TokenInfo
	key   keystore.Key
}

func (s says) Status(context.Context, fleetapi.Region) error { return nil }
func (s says) Token(context.Context, fleetapi.Region) (fleetapi.TokenInfo, error) {
	return s.token, nil
}
func (s says) PublicKey(context.Context, fleetapi.Region, string) (string, error) {
	return s.key.Hex(), nil
}

// Where nothing is published and there is no local key, what Tesla has is told.
func TestRegisteredWithoutAnythingToCompare(t *testing.T) {
	_, key := testnet.Key(t)
	report := doctor.Run(context.Background(), doctor.Config{Domain: domain, Prober: &stub{}, Regions: []fleetapi.Region{fleetapi.EU}, Tesla: says{key: key}})
	if f := find(report, "tesla_key"); f.Status != finding.OK || !strings.Contains(f.Seen, key.Fingerprint()) {
		t.Errorf("tesla_key = %+v, want its fingerprint", f)
	}
}

func TestInterrupted(t *testing.T) {
	w := newWorld(t).withTesla()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w.config.Prober = &stub{}
	report := doctor.Run(ctx, w.config)
	expect(t, report, doctor.Undecided, "tesla_status@na unknown", "tesla_token@na unknown", "tesla_status@eu unknown", "tesla_token@eu unknown")
}
