package fleetsim_test

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"wellkey/internal/fleetsim"
	"wellkey/registrar/fleetapi"
)

func TestRegisterAndReadBack(t *testing.T) {
	now := time.Date(2026, 9, 10, 12, 0, 0, 0, time.UTC)
	w := newWorld(t, func(c *fleetsim.Config) { c.Clock = func() time.Time { return now } })
	key := newKey(t, elliptic.P256())
	w.publish(pemOf(t, key))

	_, err := w.client.PublicKey(t.Context(), fleetapi.EU, domain)
	wantCode(t, err, fleetapi.NotRegisteredInRegion)
	if !errors.Is(err, fleetapi.ErrNotRegistered) {
		t.Errorf("%v is not ErrNotRegistered", err)
	}
	first := must[fleetapi.Account](t)(w.client.Register(t.Context(), fleetapi.EU, domain))
	if first.Domain != domain || first.ClientID != id || first.PublicKey != hexOf(t, key) || first.AccountID == "" ||
		first.CreatedAt != "2026-09-10T12:00:00.000Z" || first.UpdatedAt != first.CreatedAt || first.PublicKeyHash == "" {
		t.Errorf("got %+v", first)
	}
	if got := must[string](t)(w.client.PublicKey(t.Context(), fleetapi.EU, domain)); got != hexOf(t, key) {
		t.Errorf("got %q, want %q", got, hexOf(t, key))
	}
	_, err = w.client.PublicKey(t.Context(), fleetapi.NA, domain) // regions know nothing of each other
	wantCode(t, err, fleetapi.NotRegisteredInRegion)

	now = now.Add(time.Hour)
	other := newKey(t, elliptic.P256())
	w.publish(pemOf(t, other))
	again := must[fleetapi.Account](t)(w.client.Register(t.Context(), fleetapi.EU, domain))
	want := first
	want.PublicKey, want.PublicKeyHash, want.UpdatedAt = hexOf(t, other), again.PublicKeyHash, "2026-09-10T13:00:00.000Z"
	if again != want || again.PublicKeyHash == first.PublicKeyHash {
		t.Errorf("got %+v, want %+v", again, want)
	}
	if got, ok := w.Account(fleetapi.EU, domain); !ok || got.PublicKey != hexOf(t, other) {
		t.Errorf("got %+v, %v", got, ok)
	}
	if w.Downloads() != 2 || w.Count(fleetapi.OpRegister) != 2 || w.Count(fleetapi.OpRegister, fleetapi.NA) != 0 {
		t.Errorf("got %d downloads, %d registrations", w.Downloads(), w.Count(fleetapi.OpRegister))
	}
	last := w.Requests()[len(w.Requests())-1]
	if last.Operation != fleetapi.OpRegister || last.Domain != domain || last.ClientID != id || last.Status != 200 || !last.At.Equal(now) {
		t.Errorf("got %+v", last)
	}
}

// TestNothingIsLockedDuringTheDownload: the site asks the simulator while its
// key is downloaded, and another region registers meanwhile.
func TestNothingIsLockedDuringTheDownload(t *testing.T) {
	w := newWorld(t)
	body := pemOf(t, newKey(t, elliptic.P256()))
	w.handle(func(rw http.ResponseWriter, _ *http.Request) {
		if w.Downloads() == 1 {
			if _, err := w.client.Register(t.Context(), fleetapi.NA, domain); err != nil {
				t.Error(err)
			}
		}
		_, _ = io.WriteString(rw, body)
	})
	if _, err := w.client.Register(t.Context(), fleetapi.EU, domain); err != nil {
		t.Fatal(err)
	}
}

func TestOneDomainAndOneKeyForOneApp(t *testing.T) {
	w := newWorld(t)
	const otherID = "other"
	w.AddApp(fleetsim.App{ClientID: otherID, Secret: "s", AllowedOrigins: []string{"https://example.com"}})
	other := w.newClient(t, otherID, "s")
	must[fleetapi.Account](t)(w.client.Register(t.Context(), fleetapi.EU, domain))

	_, err := other.Register(t.Context(), fleetapi.EU, domain)
	wantCode(t, err, fleetapi.DomainTaken)
	_, err = other.Register(t.Context(), fleetapi.EU, "www.example.com")
	wantCode(t, err, fleetapi.KeyTaken)
	_, err = other.PublicKey(t.Context(), fleetapi.EU, domain)
	wantCode(t, err, fleetapi.DomainOfAnotherApp)
	must[fleetapi.Account](t)(other.Register(t.Context(), fleetapi.NA, "www.example.com")) // another region

	// An application that moves to another domain frees the old one.
	must[fleetapi.Account](t)(w.client.Register(t.Context(), fleetapi.EU, "www.example.com"))
	_, err = w.client.PublicKey(t.Context(), fleetapi.EU, domain)
	wantCode(t, err, fleetapi.KeyNotFound)
	w.publish(pemOf(t, newKey(t, elliptic.P256())))
	must[fleetapi.Account](t)(other.Register(t.Context(), fleetapi.EU, domain))

	// A deleted application holds on to its domain.
	w.RemoveApp(id)
	_, err = other.Register(t.Context(), fleetapi.EU, "www.example.com")
	wantCode(t, err, fleetapi.DomainTaken)
	_, err = w.client.Register(t.Context(), fleetapi.EU, domain)
	wantCode(t, err, fleetapi.UnauthorizedClient) // its token is refused, and there is no new one

	w.RemoveAccount(fleetapi.EU, "www.example.com")
	w.SetAccount(fleetapi.EU, fleetapi.Account{ClientID: otherID, Domain: "www.example.com", PublicKey: "04ab"})
	if got := must[string](t)(other.PublicKey(t.Context(), fleetapi.EU, "www.example.com")); got != "04ab" {
		t.Errorf("got %q", got)
	}
}

func TestDomains(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		origin, domain string
		code           fleetapi.ReasonCode // "" = registered
	}{
		{"https://www.abc.com", "123.abc.com", ""},
		{"https://abc.com", "abc.com", ""},
		{"https://me.github.io", "me.github.io", ""},
		{"https://github.io", "github.io", ""},
		{"https://me.github.io", "you.github.io", fleetapi.RootDomainMismatch},
		{"https://abc.co.uk", "xyz.co.uk", fleetapi.RootDomainMismatch},
		{"https://abc.com/", "abc.com", fleetapi.RootDomainMismatch},
		{"https://abc.com/path", "abc.com", fleetapi.RootDomainMismatch},
		{"http://abc.com", "abc.com", fleetapi.RootDomainMismatch},
		{"abc.com", "abc.com", fleetapi.RootDomainMismatch},
		{"https://abc.com", "abc.com.", fleetapi.InvalidDomain},
		{"https://abc.com", "Abc.com", fleetapi.InvalidDomain},
		{"https://abc.com", "https://abc.com", fleetapi.InvalidDomain},
		{"https://abc.com", "abc.com:443", fleetapi.InvalidDomain},
		{"https://abc.com", "abc.com/", fleetapi.InvalidDomain},
		{"https://abc.com", "-a.com", fleetapi.InvalidDomain},
		{"https://localhost", "localhost", fleetapi.InvalidDomain},
		{"https://abc.com", "", fleetapi.InvalidDomain},
	} {
		t.Run(c.origin+" "+c.domain, func(t *testing.T) {
			w.AddApp(fleetsim.App{ClientID: id, Secret: secrt, AllowedOrigins: []string{c.origin}})
			_, err := w.client.Register(t.Context(), fleetapi.NA, c.domain)
			if c.code != "" {
				wantCode(t, err, c.code)
				return
			}
			if e := wantCode(t, err, fleetapi.KeyDownloadFailed); !strings.HasSuffix(e.Text, ", error: certificate verify failed") {
				t.Errorf("got %v, want only the site's certificate to be wrong", err)
			}
		})
	}
}

func TestDownloads(t *testing.T) {
	w := newWorld(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, s) }
	}
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		code  fleetapi.ReasonCode
		want  string
	}{
		"rsa":      {text(pemOf(t, &rsaKey.PublicKey)), fleetapi.KeyTooLarge, "too large"},
		"html":     {text(strings.Repeat("<p>", 400)), fleetapi.KeyTooLarge, "too large"},
		"p384":     {text(pemOf(t, newKey(t, elliptic.P384()))), fleetapi.KeyDownloadFailed, "not a secp256r1 key"},
		"damaged":  {text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), fleetapi.KeyDownloadFailed, "not a secp256r1 key"},
		"no pem":   {text("hello"), fleetapi.KeyDownloadFailed, "not a public key"},
		"404":      {http.NotFound, fleetapi.KeyDownloadFailed, "404 not found"},
		"403":      {func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(403) }, fleetapi.KeyDownloadFailed, "403 forbidden"},
		"redirect": {http.RedirectHandler("/elsewhere", http.StatusMovedPermanently).ServeHTTP, fleetapi.KeyDownloadFailed, "301 moved permanently"},
		"broken":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fleetapi.KeyDownloadFailed, "connection failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w.handle(c.serve)
			_, err := w.client.Register(t.Context(), fleetapi.NA, domain)
			e := wantCode(t, err, c.code)
			want := "Public key download failed for https://example.com" + fleetapi.KeyPath + ", error: " + c.want
			if e.Status != 424 || e.Text != want || len(e.TxID) != 32 {
				t.Errorf("got %d %q %q, want 424 %q", e.Status, e.Text, e.TxID, want)
			}
			if _, ok := w.Account(fleetapi.NA, domain); ok {
				t.Error("an account was made")
			}
		})
	}
}

func TestDownloadThatTakesTooLong(t *testing.T) {
	w := newWorld(t, func(c *fleetsim.Config) {
		c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, context.DeadlineExceeded }
	})
	_, err := w.client.Register(t.Context(), fleetapi.NA, domain)
	if e := wantCode(t, err, fleetapi.KeyDownloadFailed); !strings.HasSuffix(e.Text, "error: timeout") {
		t.Errorf("got %q", e.Text)
	}
}

// TestRawRequests sends what the client never would.
func TestRawRequests(t *testing.T) {
	w := newWorld(t)
	w.AddApp(fleetsim.App{ClientID: "no-grant", Secret: "s", NoGrant: true})
	w.AddApp(fleetsim.App{ClientID: "china", Secret: "s", Regions: []fleetapi.Region{fleetapi.CN}})
	form := func(change ...string) string {
		v := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secrt},
			"audience": {w.BaseURL(fleetapi.EU)}, "scope": {"openid"}}
		for i := 0; i < len(change); i += 2 {
			v.Set(change[i], change[i+1])
		}
		return v.Encode()
	}
	const formType = "application/x-www-form-urlencoded"
	token := w.AuthURL() + "/oauth2/v3/token"
	account := w.BaseURL(fleetapi.EU) + "/api/1/partner_accounts"
	for _, c := range []struct {
		name, url, kind, agent, body string
		status                       int
		want                         string
	}{
		{"good", token, formType, "", form(), 200, `"token_type":"Bearer"`},
		{"json", token, "application/json", "", `{"client_id":"a"}`, 400, "The 'grant_type' parameter is missing. Include grant_type in the request."},
		{"no client", token, formType, "", form("client_id", ""), 400, "The 'client_id' parameter is missing. Include client_id in the request."},
		{"grant type", token, formType, "", form("grant_type", "password"), 400, "unsupported_grant_type"},
		{"secret", token, formType, "", form("client_secret", "x"), 400, "We don't recognize this client_id and client_secret combination"},
		{"slash", token, formType, "", form("audience", w.BaseURL(fleetapi.EU)+"/"), 400, "invalid_audience"},
		{"scope", token, formType, "", form("scope", "openid energy_cmds"), 400, "invalid_scope"},
		{"grant", token, formType, "", form("client_id", "no-grant", "client_secret", "s"), 400, "invalid_scope"},
		{"china", token, formType, "", form("client_id", "china", "client_secret", "s"), 400, "unauthorized_client"},
		{"agent", token, formType, "a (+https://b)", form(), 403, "Access Denied"},
		{"no token", account, "application/json", "", `{"domain":"example.com"}`, 401, "invalid bearer token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := send(t, http.MethodPost, c.url, c.kind, c.agent, "", c.body)
			if status != c.status || !strings.Contains(body, c.want) {
				t.Errorf("got %d %q, want %d %q", status, body, c.status, c.want)
			}
		})
	}
	_, body := send(t, http.MethodPost, token, formType, "", "", form())
	bearer, _, _ := strings.Cut(strings.TrimPrefix(body, `{"access_token":"`), `"`)
	if status, _ := send(t, http.MethodPost, account, "text/plain", "", bearer, `{"domain":"example.com"}`); status != 406 {
		t.Errorf("got %d for a body of another type, want 406", status)
	}
	if _, body := send(t, http.MethodGet, account+"/public_key", "", "", bearer, ""); !strings.Contains(body, "upstream internal error") {
		t.Errorf("got %q without a domain", body)
	}
	na := w.BaseURL(fleetapi.NA) + "/api/1/partner_accounts/public_key?domain=example.com"
	if status, body := send(t, http.MethodGet, na, "", "", bearer, ""); status != 421 || !strings.Contains(body, "use base URL: "+w.BaseURL(fleetapi.EU)+",") {
		t.Errorf("got %d %q with the token of another region", status, body)
	}
	if status, body := send(t, http.MethodGet, w.BaseURL(fleetapi.NA)+"/status", "", "", "", ""); status != 200 || body != "ok" {
		t.Errorf("got %d %q from /status", status, body)
	}
}

func send(t *testing.T, method, url, kind, agent, bearer, body string) (int, string) {
	t.Helper()
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body)))
	req.Close = true
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp := must[*http.Response](t)(http.DefaultClient.Do(req))
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode, string(must[[]byte](t)(io.ReadAll(resp.Body)))
}

func TestTokensEnd(t *testing.T) {
	w := newWorld(t)
	must[fleetapi.Account](t)(w.client.Register(t.Context(), fleetapi.EU, domain))
	if tokens := w.Tokens(); len(tokens) != 1 || strings.Count(tokens[0], ".") != 2 {
		t.Errorf("got %d tokens: %q", len(tokens), tokens)
	}
	w.ExpireTokens()
	must[string](t)(w.client.PublicKey(t.Context(), fleetapi.EU, domain))
	var statuses []int
	for _, r := range w.Requests() {
		statuses = append(statuses, r.Status)
	}
	if want := []int{200, 200, 401, 200, 200}; !slices.Equal(statuses, want) {
		t.Errorf("got %v, want %v", statuses, want)
	}
	info := must[fleetapi.TokenInfo](t)(w.client.Token(t.Context(), fleetapi.EU))
	if info.ClientID != id || info.GrantType != "client-credentials" || !slices.Equal(info.Scopes, []string{"openid"}) ||
		!slices.Contains(info.Audience, w.BaseURL(fleetapi.EU)) {
		t.Errorf("got %+v", info)
	}
}
