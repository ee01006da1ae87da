package fleetsim

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"wellkey/registrar/fleetapi"
)

// A grant is what a token that was given out stands for.
type grant struct {
	clientID string
	region   fleetapi.Region
	expires  time.Time
	user     bool
}

// ExpireTokens ends all tokens before their time.
func (s *Sim) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for t, g := range s.tokens {
		g.expires = time.Time{}
		s.tokens[t] = g
	}
}

// expire ends one token before its time.
func (s *Sim) expire(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.tokens[token]
	g.expires = time.Time{}
	s.tokens[token] = g
}

// An opaque is how tokens are given out that are no JWT.
type opaque struct {
	expiresIn int
	life      time.Duration
}

// GiveTokens has tokens given out, until Clear, that are no JWT, and of which the answer
// says that they live for expiresIn seconds, 0 = nothing, while they do so for life.
func (s *Sim) GiveTokens(expiresIn int, life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opaque = &opaque{expiresIn, life}
}

// Tokens returns all tokens that were given out, for searching where they must
// not be.
func (s *Sim) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.tokens))
}

func (s *Sim) serveToken(w http.ResponseWriter, r *http.Request) {
	err := r.ParseForm()
	form := r.PostForm // nothing but a form in the body counts: neither JSON, nor Basic, nor the query
	e := s.begin(w, r, fleetapi.OpToken, s.region(form.Get("audience")), "", form.Get("client_id"))
	defer e.end()
	if err != nil || e.faulted() {
		return
	}
	if strings.Contains(r.UserAgent(), "://") {
		e.refuse(fleetapi.WAFBlocked)
		return
	}
	for _, field := range []string{"grant_type", "client_id", "client_secret", "audience"} {
		if form.Get(field) == "" {
			e.answer(missing(field))
			return
		}
	}
	app, ok := s.app(form.Get("client_id"))
	scopes := strings.Fields(form.Get("scope"))
	switch {
	case form.Get("grant_type") != "client_credentials":
		e.refuse(fleetapi.UnsupportedGrantType)
	case !ok || app.Secret != form.Get("client_secret") || e.record.Region != "" && !app.existsIn(e.record.Region):
		e.refuse(fleetapi.UnauthorizedClient)
	case e.record.Region == "":
		e.refuse(fleetapi.InvalidAudience)
	case app.NoGrant || !subset(scopes, app.Scopes):
		e.refuse(fleetapi.InvalidScope)
	default:
		e.json(http.StatusOK, s.issue(app.ClientID, e.record.Region, scopes, false))
	}
}

func missing(field string) fleetapi.Example {
	x := refusal(fleetapi.InvalidRequest).Examples[0]
	x.Body = strings.ReplaceAll(x.Body, "client_id", field)
	return x
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// issue returns the answer with a new token, whose claims are those of Tesla's
// tokens. Its signature is noise: only Tesla checks it, and here we remember.
func (s *Sim) issue(clientID string, region fleetapi.Region, scopes []string, user bool) map[string]any {
	now := s.clock()
	life := s.config.TokenLife
	claims := map[string]any{
		"sub": random(16), "azp": clientID, "iat": now.Unix(), "exp": now.Add(life).Unix(),
		"aud": []string{"https://fleet-auth.tesla.com/oauth2/v3/clientinfo", s.bases[region]}, "scp": scopes,
	}
	if user {
		claims["iss"] = "https://auth.tesla.com/oauth2/v3/nts"
		claims["amr"], claims["ou_code"], claims["locale"] = []string{"pwd"}, strings.ToUpper(string(region)), "en-US"
		claims["auth_time"] = now.Unix()
	} else {
		claims["iss"] = "https://fleet-auth.tesla.com/oauth2/v3/nts"
		claims["gty"], claims["account_type"], claims["open_source"] = "client-credentials", "business", false
	}
	token := jwt(claims)
	answer := map[string]any{"expires_in": int(life.Seconds()), "token_type": "Bearer"}
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.opaque; o != nil {
		token, life, answer["expires_in"] = random(32), o.life, o.expiresIn
		if o.expiresIn == 0 {
			delete(answer, "expires_in")
		}
	}
	s.tokens[token] = grant{clientID: clientID, region: region, expires: now.Add(life), user: user}
	answer["access_token"] = token
	return answer
}

func jwt(claims map[string]any) string {
	encode := base64.RawURLEncoding.EncodeToString
	payload, _ := json.Marshal(claims) // strings and numbers always marshal
	signature := make([]byte, 256)
	_, _ = rand.Read(signature) // never fails
	return encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(payload) + "." + encode(signature)
}

// authorize checks the token of a partner request, and refuses where it must.
// Some people's programs use a token of one region in another; as others met
// confusion then, and wellkey never does it, it is refused here.
func (e *exchange) authorize() (App, bool) {
	bearer, _ := strings.CutPrefix(e.r.Header.Get("Authorization"), "Bearer ")
	e.sim.mu.Lock()
	g, ok := e.sim.tokens[bearer]
	app, exists := e.sim.apps[g.clientID]
	e.sim.mu.Unlock()
	e.setClient(g.clientID)
	switch {
	case e.faulted():
	case !ok || !exists:
		e.answer(refusal(fleetapi.TokenExpired).Examples[1]) // "invalid bearer token"
	case !e.sim.clock().Before(g.expires):
		e.answer(refusal(fleetapi.TokenExpired).Examples[0])
	case g.region != e.record.Region:
		x := refusal(fleetapi.OutOfRegion).Examples[0]
		x.Body = strings.ReplaceAll(x.Body, fleetapi.NA.BaseURL(), e.sim.bases[g.region])
		e.answer(x)
	case g.user:
		e.answer(refusal(fleetapi.UserToken).Examples[0])
	default:
		return app, true
	}
	return App{}, false
}
