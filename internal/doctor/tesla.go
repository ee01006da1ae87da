package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

// An answer is what Tesla said in one region.
type answer struct {
	region     fleetapi.Region
	statusErr  error
	token      fleetapi.TokenInfo
	tokenErr   error
	registered string // as Tesla writes it
	keyErr     error  // meaningless where tokenErr is set
}

// askTesla asks in all regions side by side. Each channel gives one answer.
func (c Config) askTesla(ctx context.Context, domain string) []<-chan answer {
	if c.Tesla == nil {
		return nil
	}
	var answers []<-chan answer
	for _, region := range c.Regions {
		ch := make(chan answer, 1)
		answers = append(answers, ch)
		go func() { ch <- c.ask(ctx, region, domain) }()
	}
	return answers
}

// ask asks whether Tesla is up, and beside that for a token and the key.
func (c Config) ask(ctx context.Context, region fleetapi.Region, domain string) answer {
	a := answer{region: region}
	var both sync.WaitGroup
	both.Go(func() { a.statusErr = c.Tesla.Status(ctx, region) })
	both.Go(func() {
		if a.token, a.tokenErr = c.Tesla.Token(ctx, region); a.tokenErr == nil {
			a.registered, a.keyErr = c.Tesla.PublicKey(ctx, region, domain)
		}
	})
	both.Wait()
	return a
}

// notAsked is told in place of the regions where there are no credentials, or
// bad ones.
func (c Config) notAsked() Group {
	if c.Fault != nil {
		return Group{Name: NameTesla, Findings: []finding.Finding{{ID: idToken, Status: finding.Fail,
			Seen:  "The credentials cannot be used: " + phrase.Sentence(c.Fault.Error()),
			Cause: "The file that holds them is malformed, incomplete, or cannot be read.",
			Fix:   "Correct it; a wellkey that serves picks it up without a restart (with systemd's LoadCredential=, restart the service)."}}}
	}
	return Group{Name: NameTesla, Findings: []finding.Finding{{ID: idToken, Status: finding.Skipped,
		Seen: "There are no credentials for this domain, so Tesla was not asked."}}}
}

// regionGroup puts what Tesla said into findings; published are the keys that
// the domain gives.
func (c Config) regionGroup(a answer, domain string, published []keystore.Key) Group {
	on := string(a.region)
	g := Group{Name: NameTesla, On: on}
	g.Findings = append(g.Findings, up(a))
	if a.tokenErr != nil {
		g.Findings = append(g.Findings, failed(idToken, on, a.tokenErr))
		return g
	}
	base := cmp.Or(c.Bases[a.region], a.region.BaseURL())
	g.Findings = append(g.Findings, tokenGiven(a), audience(a, base), scopes(a))
	if a.keyErr != nil {
		g.Findings = append(g.Findings, notRegistered(a, domain))
		return g
	}
	g.Findings = append(g.Findings, c.registered(a, domain, published))
	return g
}

// up gives tesla_status.
func up(a answer) finding.Finding {
	if a.statusErr != nil {
		return failed(idStatus, string(a.region), a.statusErr)
	}
	return ok(idStatus, string(a.region), "Tesla's API for "+a.region.Name()+" is up.")
}

// failed puts a request that did not succeed into a finding: a refusal that a
// person must act on is a fault, all else leaves the question open.
func failed(id, on string, err error) finding.Finding {
	f := finding.Finding{ID: id, Status: finding.Unknown, On: on, Seen: phrase.Sentence(err.Error()),
		Cause: "The examination was interrupted.", Fix: "Run it again."}
	if refused, ok := errors.AsType[*fleetapi.Error](err); ok {
		f.Cause, f.Fix = refused.Cause(), refused.Fix()
		if refused.Refusal.Actor == fleetapi.ActorOperator && refused.Refusal.Retry != fleetapi.RetrySoon {
			f.Status = finding.Fail
		}
	}
	return f
}

// tokenGiven gives tesla_token.
func tokenGiven(a answer) finding.Finding {
	to := ""
	if a.token.ClientID != "" {
		to = fmt.Sprintf(" to application %q", a.token.ClientID)
	}
	return ok(idToken, string(a.region), fmt.Sprintf("Tesla gives a token%s, valid until %s.", to, a.token.ExpiresAt.UTC().Format("2006-01-02 15:04 UTC")))
}

// audience gives tesla_audience: is the token for this region?
func audience(a answer, base string) finding.Finding {
	on := string(a.region)
	switch {
	case len(a.token.Audience) == 0:
		return finding.Finding{ID: idAudience, Status: finding.Skipped, On: on, Seen: "The token does not say for whom it is."}
	case slices.Contains(a.token.Audience, base):
		return ok(idAudience, on, "The token is for "+base+".")
	}
	return finding.Finding{ID: idAudience, Status: finding.Warn, On: on, Seen: fmt.Sprintf("The token is not for %s but for %.300q.", base, a.token.Audience),
		Cause: "Something else than Tesla's own token endpoint answered, or Tesla changed its tokens.",
		Fix:   "Remove the settings tesla_auth_url and tesla_api_url_" + on + ", unless they are meant."}
}

// scopes gives tesla_scopes. Only the one scope is asked for that a registration
// needs; those of vehicles belong to owners' tokens.
func scopes(a answer) finding.Finding {
	on := string(a.region)
	switch {
	case len(a.token.Scopes) == 0:
		return finding.Finding{ID: idScopes, Status: finding.Skipped, On: on, Seen: "The token does not say what it allows."}
	case slices.Contains(a.token.Scopes, "openid"):
		return ok(idScopes, on, fmt.Sprintf("The token allows %.300q.", strings.Join(a.token.Scopes, " ")))
	}
	return finding.Finding{ID: idScopes, Status: finding.Warn, On: on, Seen: fmt.Sprintf("The token allows %.300q, without openid, which was asked for.", strings.Join(a.token.Scopes, " ")),
		Cause: "The application lacks the scope in Tesla's portal, or Tesla changed its tokens.",
		Fix:   "See on the application's page in Tesla's portal that scopes are ticked; a change takes up to ten minutes."}
}

// notRegistered gives tesla_key where Tesla gives no key.
func notRegistered(a answer, domain string) finding.Finding {
	f := failed(idRegistered, string(a.region), a.keyErr)
	if !errors.Is(a.keyErr, fleetapi.ErrNotRegistered) {
		return f
	}
	f.Status = finding.Fail
	if refused, ok := errors.AsType[*fleetapi.Error](a.keyErr); !ok || refused.Refusal.Actor == fleetapi.ActorNobody {
		f.Fix = fmt.Sprintf("Run \"wellkey register %s\" with the same settings, or let \"wellkey serve\" run, which registers by itself. Owners in %s cannot pair before.", domain, a.region.Name())
	}
	return f
}

// registered gives tesla_key: which key has Tesla, compared with the published
// and the local one?
func (c Config) registered(a answer, domain string, published []keystore.Key) finding.Finding {
	on := string(a.region)
	key, err := keystore.ParsePoint(a.registered)
	if err != nil {
		return finding.Finding{ID: idRegistered, Status: finding.Unknown, On: on, Seen: fmt.Sprintf("Tesla's answer is no P-256 key: %.80q (%v).", a.registered, err),
			Cause: "Tesla changed its answer, or something that is no P-256 key was registered.", Fix: "Run the doctor again later; if it stays, please report it with this text."}
	}
	hosted, where := published, "published"
	if len(hosted) == 0 && !c.Local.Key.IsZero() {
		hosted, where = []keystore.Key{c.Local.Key}, "in the key file"
	}
	switch {
	case len(hosted) == 0:
		return ok(idRegistered, on, fmt.Sprintf("Tesla has key %s on record; none is published to compare it with.", key.Fingerprint()))
	case len(hosted) == 1 && hosted[0] == key:
		return ok(idRegistered, on, "Tesla has the key on record that is "+where+".")
	case slices.Contains(hosted, key):
		return ok(idRegistered, on, fmt.Sprintf("Tesla has key %s on record, which one of the addresses gives.", key.Fingerprint()))
	}
	f := finding.Finding{ID: idRegistered, Status: finding.Fail, On: on,
		Seen:  fmt.Sprintf("Tesla has key %s on record; %s is %s.", key.Fingerprint(), hosted[0].Fingerprint(), where),
		Cause: "The published key was replaced, or another host registered its own for this domain and application. Cars trust the registered key only.",
		Fix: fmt.Sprintf("Publish the registered key again. To replace it on purpose, run \"wellkey register %s --accept-key %s\"; every owner must then pair again.",
			domain, hosted[0].Fingerprint())}
	if c.Local.Key == key {
		f.Cause = "The registered key is the one in the key file, but the domain publishes another one."
		f.Fix = "Publish the key of the key file again; do not register the other one."
	}
	return f
}
