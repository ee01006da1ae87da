package fleetapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/goleak"

	"wellkey/internal/secret"
	"wellkey/internal/skew"
	"wellkey/registrar/fleetapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	canarySecret = "ta-secret.c@n%ary+^<&\"é"
	canaryToken  = "canary.token"
	clientID     = "69e5a3c2-0001-4660-9816-88452a983f3b"
	domain       = "keys.example.com"
)

// A fake answers requests without a network.
type fake struct {
	mu       sync.Mutex
	requests []*http.Request // with their bodies read
	bodies   []string
	token    func(*http.Request) (*http.Response, error) // nil = grants canaryToken for 8 hours
	partner  func(*http.Request) (*http.Response, error)
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	f.mu.Lock()
	f.requests = append(f.requests, r)
	f.bodies = append(f.bodies, string(body))
	f.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/token") {
		if f.token != nil {
			return f.token(r)
		}
		return answer(200, `{"access_token":"`+canaryToken+`","expires_in":28800,"token_type":"Bearer"}`)
	}
	return f.partner(r)
}

// count returns how many requests went to paths with the suffix.
func (f *fake) count(suffix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.requests {
		if strings.HasSuffix(r.URL.Path, suffix) {
			n++
		}
	}
	return n
}

func answer(status int, body string, header ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func always(status int, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return answer(status, body, header...) }
}

func newClient(t *testing.T, f http.RoundTripper, change ...func(*fleetapi.Config)) *fleetapi.Client {
	t.Helper()
	config := fleetapi.Config{
		Credentials: fleetapi.Credentials{ClientID: clientID, ClientSecret: secret.New(canarySecret)},
		UserAgent:   "wellkey/1.2.3",
		Transport:   f,
	}
	for _, c := range change {
		c(&config)
	}
	c, err := fleetapi.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// do makes the request of an operation and returns its error.
func do(t *testing.T, c *fleetapi.Client, op fleetapi.Operation, r fleetapi.Region) error {
	t.Helper()
	return doIn(t.Context(), c, op, r)
}

func doIn(ctx context.Context, c *fleetapi.Client, op fleetapi.Operation, r fleetapi.Region) error {
	var err error
	switch op {
	case fleetapi.OpToken:
		_, err = c.Token(ctx, r)
	case fleetapi.OpRegister:
		_, err = c.Register(ctx, r, domain)
	case fleetapi.OpPublicKey:
		_, err = c.PublicKey(ctx, r, domain)
	}
	return err
}

// on returns a fake that answers op with respond, and tokens as usual.
func on(op fleetapi.Operation, respond func(*http.Request) (*http.Response, error)) *fake {
	if op == fleetapi.OpToken {
		return &fake{token: respond}
	}
	return &fake{partner: respond}
}

func jwt(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode(payload) + "." + encode([]byte("signature"))
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := fleetapi.New(fleetapi.Config{
		AuthURL:   "http://auth.example.com",
		UserAgent: "wellkey (+https://example.com)",
		BaseURLs: map[fleetapi.Region]string{
			"mars":      "https://example.com",
			fleetapi.NA: "https://user:hunter2@example.com",
			fleetapi.EU: "https://example.com/path",
			fleetapi.CN: "ftp://127.0.0.1",
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"client id is missing",
		"client secret is missing",
		`user agent "wellkey (+https://example.com)" holds a URL, which Tesla's firewall refuses`,
		`unknown region "mars"`,
		`checking auth url: "http://auth.example.com" is not https; http is accepted for loopback addresses only, since it would show the client secret`,
		`checking base url of na: "https://user:xxxxx@example.com" holds a user name or password`,
		`checking base url of eu: "https://example.com/path" is not of the form https://host`,
		`checking base url of cn: "ftp://127.0.0.1" is not https`,
	} {
		if strings.Count(err.Error(), want) != 1 {
			t.Errorf("got %q, want it to hold once %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the password shows in %q", err)
	}
}

func TestCredentialsAreZeroWhereAHalfIsMissing(t *testing.T) {
	for c, want := range map[fleetapi.Credentials]bool{
		{}: true, {ClientID: "a"}: true, {ClientSecret: aSecret}: true, {ClientID: "a", ClientSecret: aSecret}: false,
	} {
		if got := c.IsZero(); got != want {
			t.Errorf("%q with secret %v: got %v, want %v", c.ClientID, !c.ClientSecret.IsZero(), got, want)
		}
	}
}

func TestNewAcceptsURLs(t *testing.T) {
	for _, u := range []string{"https://example.com", "https://example.com/", "http://127.0.0.1:80", "http://[::1]:80", "http://localhost:80"} {
		newClient(t, &fake{}, func(c *fleetapi.Config) {
			c.AuthURL = u
			c.BaseURLs = map[fleetapi.Region]string{fleetapi.NA: u}
		})
	}
	for _, u := range []string{"http://128.0.0.1", "http://localhost.example.com", "example.com", "https://", "https://h?q", "https://h#f", ":"} {
		_, err := fleetapi.New(fleetapi.Config{
			Credentials: fleetapi.Credentials{ClientID: "id", ClientSecret: secret.New("s")}, AuthURL: u,
		})
		if err == nil {
			t.Errorf("%q was accepted", u)
		}
	}
}

func TestTokenRequest(t *testing.T) {
	for _, r := range fleetapi.Regions() {
		f := &fake{}
		c := newClient(t, f)
		if _, err := c.Token(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		req := f.requests[0]
		if got, want := req.Method+" "+req.URL.String(), "POST "+r.AuthURL()+"/oauth2/v3/token"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		want := "audience=" + map[fleetapi.Region]string{
			fleetapi.NA: "https%3A%2F%2Ffleet-api.prd.na.vn.cloud.tesla.com",
			fleetapi.EU: "https%3A%2F%2Ffleet-api.prd.eu.vn.cloud.tesla.com",
			fleetapi.CN: "https%3A%2F%2Ffleet-api.prd.cn.vn.cloud.tesla.cn",
		}[r] + "&client_id=" + clientID + "&client_secret=ta-secret.c%40n%25ary%2B%5E%3C%26%22%C3%A9" +
			"&grant_type=client_credentials&scope=openid"
		if f.bodies[0] != want {
			t.Errorf("got body %q, want %q", f.bodies[0], want)
		}
		wantHeader(t, req, "Content-Type", "application/x-www-form-urlencoded")
		wantHeader(t, req, "User-Agent", "wellkey/1.2.3")
		wantHeader(t, req, "Authorization", "")
	}
}

func wantHeader(t *testing.T, r *http.Request, name, want string) {
	t.Helper()
	if got := r.Header.Get(name); got != want {
		t.Errorf("got %s %q, want %q", name, got, want)
	}
}

func TestRegister(t *testing.T) {
	f := &fake{partner: always(200, `{"response":{"account_id":"7b0e","domain":"t3slaapi.moovetrax.com","name":"MooveTrax-New-API",`+
		`"description":"…","client_id":"69e5","ca":null,"created_at":"2024-09-12T01:02:16.051Z","updated_at":"2025-01-23T19:53:09.678Z",`+
		`"enterprise_tier":"pay_as_you_go","issuer":null,"csr":null,"csr_updated_at":null,"public_key":"046f","public_key_hash":null}}`,
		"X-Txid", "abc-1")}
	c := newClient(t, f, func(c *fleetapi.Config) {
		c.BaseURLs = map[fleetapi.Region]string{fleetapi.NA: "http://127.0.0.1:4443/"}
	})
	got, err := c.Register(t.Context(), fleetapi.NA, domain)
	if err != nil {
		t.Fatal(err)
	}
	want := fleetapi.Account{
		AccountID: "7b0e", Domain: "t3slaapi.moovetrax.com", Name: "MooveTrax-New-API", ClientID: "69e5",
		EnterpriseTier: "pay_as_you_go", CreatedAt: "2024-09-12T01:02:16.051Z", UpdatedAt: "2025-01-23T19:53:09.678Z",
		PublicKey: "046f", TxID: "abc-1",
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	req := f.requests[1]
	if got, want := req.Method+" "+req.URL.String(), "POST http://127.0.0.1:4443/api/1/partner_accounts"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := f.bodies[1], `{"domain":"keys.example.com"}`; got != want {
		t.Errorf("got body %q, want %q", got, want)
	}
	wantHeader(t, req, "Content-Type", "application/json")
	wantHeader(t, req, "Authorization", "Bearer "+canaryToken)
	wantHeader(t, req, "User-Agent", "wellkey/1.2.3")
	if !strings.Contains(f.bodies[0], "audience=http%3A%2F%2F127.0.0.1%3A4443&") {
		t.Errorf("the audience has a slash: %q", f.bodies[0])
	}
}

func TestRegisterWithoutContent(t *testing.T) {
	c := newClient(t, &fake{partner: always(204, "", "X-Txid", "abc")})
	got, err := c.Register(t.Context(), fleetapi.EU, domain)
	if want := (fleetapi.Account{TxID: "abc"}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestPublicKey(t *testing.T) {
	f := &fake{partner: always(200, `{"response":{"public_key":"04AB"}}`)}
	got, err := newClient(t, f).PublicKey(t.Context(), fleetapi.EU, "a&b.example")
	if err != nil || got != "04AB" {
		t.Errorf("got %q, %v, want 04AB", got, err)
	}
	want := "GET https://fleet-api.prd.eu.vn.cloud.tesla.com/api/1/partner_accounts/public_key?domain=a%26b.example"
	if got := f.requests[1].Method + " " + f.requests[1].URL.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := newClient(t, f).PublicKey(t.Context(), fleetapi.EU, ""); err == nil || err.Error() != "asking for a key: no domain given" {
		t.Errorf("got %v", err)
	}
}

func TestUnknownRegion(t *testing.T) {
	c := newClient(t, &fake{})
	for _, op := range fleetapi.Operations() {
		if err := do(t, c, op, "mars"); err == nil || err.Error() != `finding region "mars": unknown` {
			t.Errorf("%s: got %v", op, err)
		}
	}
}

var aSecret = secret.New("s")

func metricsText(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// TestClockIsShownEveryAnswer: those of the token endpoint, and refusals, too.
func TestClockIsShownEveryAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		date := func(h time.Duration) string { return time.Now().Add(h).UTC().Format(http.TimeFormat) }
		clock := skew.New(nil)
		f := on(fleetapi.OpToken, always(http.StatusUnauthorized, `{"error":"invalid_client"}`, "Date", date(-time.Hour)))
		_, err := newClient(t, f, func(c *fleetapi.Config) { c.Clock = clock }).PublicKey(t.Context(), fleetapi.NA, "example.com")
		if ahead, known := clock.Ahead(); err == nil || !known || ahead != time.Hour {
			t.Errorf("after a refused token: got %v, %t, %v, want an hour", ahead, known, err)
		}
		f = on(fleetapi.OpPublicKey, always(http.StatusNotFound, `{"error":"account not found"}`, "Date", date(time.Hour)))
		_, _ = newClient(t, f, func(c *fleetapi.Config) { c.Clock = clock }).PublicKey(t.Context(), fleetapi.NA, "example.com")
		if ahead, known := clock.Ahead(); !known || ahead != -time.Hour {
			t.Errorf("after the key's endpoint: got %v, %t, want minus an hour", ahead, known)
		}
	})
}
