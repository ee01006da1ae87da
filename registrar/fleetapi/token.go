package fleetapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"wellkey/internal/secret"
)

const (
	// scope is enough for a registration; a wider one would have to be ticked
	// in the portal first.
	scope = "openid"
	// spare is how long before its end a token is no longer used (Tesla's best practices).
	spare = time.Minute
	// longest is the most that we believe of a token's life, which is 8 hours.
	longest = 24 * time.Hour
)

// A TokenInfo is what a partner token says about itself, without the token.
// All texts are foreign. Where Tesla's token is not a JWT, only Region and
// ExpiresAt are set.
type TokenInfo struct {
	Region    Region
	ClientID  string   // the application it was given to
	Issuer    string   // who gave it
	Audience  []string // for whom
	Scopes    []string // what it allows
	GrantType string   // "client-credentials"
	ExpiresAt time.Time
}

// Token returns what the token of region says about itself; it fetches one
// where there is none. The error is an *Error, or that of a cancelled ctx.
func (c *Client) Token(ctx context.Context, region Region) (TokenInfo, error) {
	if err := c.known(region); err != nil {
		return TokenInfo{}, err
	}
	t, err := attemptOf(ctx).use(ctx, c, region)
	if err != nil {
		return TokenInfo{}, err
	}
	info := t.info
	info.Audience, info.Scopes = slices.Clone(info.Audience), slices.Clone(info.Scopes)
	return info, nil
}

// A token is one answer of the token endpoint. It is never changed.
type token struct {
	bearer secret.Text
	given  time.Time
	info   TokenInfo
}

// tokens holds the token of one region, and lets one caller fetch it for all.
type tokens struct {
	mu      sync.Mutex // guards all below
	current *token
	flight  *flight
}

// A flight is a fetch under way. Its result is set before done is closed.
type flight struct {
	done  chan struct{}
	token *token
	err   error
}

// drop forgets t, unless a newer token took its place.
func (s *tokens) drop(t *token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == t {
		s.current = nil
	}
}

// token returns the region's token, which was given since a time, and reports whether
// it was held already. Callers that come while one is fetched share what comes out,
// except that nobody inherits another's cancelled ctx.
func (c *Client) token(ctx context.Context, region Region, since time.Time) (t *token, held bool, err error) {
	s := c.tokens[region]
	for {
		s.mu.Lock()
		if t := s.current; t != nil && time.Until(t.info.ExpiresAt) > spare && !t.given.Before(since) {
			s.mu.Unlock()
			return t, true, nil
		}
		f := s.flight
		if f == nil {
			f = &flight{done: make(chan struct{})}
			s.flight = f
			s.mu.Unlock()
			f.token, f.err = c.fetchToken(ctx, region)
			s.mu.Lock()
			s.current, s.flight = f.token, nil
			s.mu.Unlock()
			close(f.done)
			return f.token, false, f.err
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, false, c.stopped(request{op: OpToken, region: region}, ctx.Err())
		case <-f.done:
		}
		if f.err == nil || !f.abandoned() {
			return f.token, false, f.err
		}
	}
}

// abandoned reports whether the fetch ended because its caller gave up.
func (f *flight) abandoned() bool {
	var e *Error
	return !errors.As(f.err, &e) || e.gaveUp
}

func (c *Client) fetchToken(ctx context.Context, region Region) (*token, error) {
	form := url.Values{
		"grant_type":    {"client_credentials"},
		"client_id":     {c.credentials.ClientID},
		"client_secret": {c.credentials.ClientSecret.Reveal()},
		"audience":      {c.base[region]},
		"scope":         {scope},
	}
	a, err := c.exchange(ctx, request{
		op: OpToken, region: region,
		method: http.MethodPost, url: c.auth[region] + "/oauth2/v3/token",
		contentType: "application/x-www-form-urlencoded", body: form.Encode(),
	})
	if err != nil {
		return nil, err
	}
	var granted struct {
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"`
		TokenType   string  `json:"token_type"`
	}
	switch err := json.Unmarshal(a.raw, &granted); {
	case err != nil:
		return nil, c.bad(a, "a field of the token answer has an unexpected type")
	case granted.AccessToken == "":
		return nil, c.bad(a, "no access_token in the answer")
	case granted.TokenType != "" && !strings.EqualFold(granted.TokenType, "Bearer"):
		return nil, c.bad(a, "token_type is not Bearer")
	case strings.ContainsFunc(granted.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, c.bad(a, "access_token holds characters that no header can carry")
	}
	claims := readClaims(granted.AccessToken)
	if claims.user() {
		return nil, c.fail(a, find(UserToken), "", nil)
	}
	if other := c.elsewhere(claims.Audience, region); other != "" {
		return nil, c.bad(a, "the token is for the region "+string(other)+", and for "+string(region)+" one was asked")
	}
	now := time.Now()
	return &token{bearer: secret.New(granted.AccessToken), given: now, info: TokenInfo{
		Region: region, ClientID: claims.Party, Issuer: claims.Issuer,
		Audience: claims.Audience, Scopes: claims.Scopes, GrantType: claims.GrantType,
		ExpiresAt: now.Add(lifetime(granted.ExpiresIn, claims)),
	}}, nil
}

// elsewhere returns the region that a token of this audience is for, if it is
// another than the one that it was asked for; "" where that is in it, or none is.
// What such a token is answered would be about the other region.
func (c *Client) elsewhere(audience []string, region Region) (other Region) {
	for _, r := range Regions() {
		if slices.Contains(audience, c.base[r]) {
			if c.base[r] == c.base[region] {
				return ""
			}
			other = r
		}
	}
	return other
}

// claims are the parts of a token's payload that tell its kind. Their
// signature is Tesla's to check: we only read what we are about to send back.
type claims struct {
	GrantType string          `json:"gty"`
	Methods   json.RawMessage `json:"amr"`
	Region    string          `json:"ou_code"`
	Party     string          `json:"azp"`
	Issuer    string          `json:"iss"`
	Audience  list            `json:"aud"`
	Scopes    list            `json:"scp"`
	Expiry    float64         `json:"exp"`
	Issued    float64         `json:"iat"`
}

// A list is a JSON string or array of strings, as RFC 7519 has it for "aud".
type list []string

func (l *list) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*l = strings.Fields(one)
		return nil
	}
	return json.Unmarshal(data, (*[]string)(l))
}

// readClaims returns the payload of a JWT; zero claims where it cannot be read,
// since Tesla promises nothing about the form of its tokens.
func readClaims(jwt string) claims {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return claims{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return claims{}
	}
	var c claims
	if json.Unmarshal(payload, &c) != nil {
		return claims{}
	}
	return c
}

// user reports whether the token speaks for a person instead of the application.
func (c claims) user() bool {
	if c.GrantType != "" {
		return c.GrantType != "client-credentials"
	}
	return len(c.Methods) > 0 || c.Region != ""
}

// lifetime returns how long a token lives: the shorter of what the answer and
// the token say, which are both relative, so that a wrong clock of ours does no
// harm. A token that says nothing is used for one attempt.
func lifetime(expiresIn float64, c claims) time.Duration {
	seconds := longest.Seconds()
	said := false
	for _, s := range []float64{expiresIn, c.Expiry - c.Issued} {
		if s > 0 {
			seconds, said = min(seconds, s), true
		}
	}
	if !said {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}
