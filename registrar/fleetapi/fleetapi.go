// Package fleetapi is a client of the few endpoints of Tesla's Fleet API that a
// partner's registration needs: a partner token, POST partner_accounts and GET
// partner_accounts/public_key. Whatever does not succeed is an *Error that
// carries a row of the Catalogue: a stable reason code, who must act, when to
// try again, cause and fix.
//
// A client holds the application's secret and tokens. They leave it only in
// requests to the token endpoint and to the base URLs: redirects are not
// followed, there is no cookie jar, nothing of a request is logged, and what
// Tesla says is searched for them before it becomes part of an error.
//
// Tokens are fetched by some lines of our own rather than by x/oauth2: its
// client credentials flow would send the same form, but it reads an answer of
// type text/plain as a query string, cuts a body at its limit in silence, knows
// no referenceID, and its error prints the whole body. Ours shares the
// deadlines, limits, strict decoding and catalogue of the other requests.
//
// Source: https://developer.tesla.com/docs/fleet-api/endpoints/partner-endpoints
package fleetapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"wellkey/internal/loopback"
	"wellkey/internal/secret"
	"wellkey/internal/skew"
)

// Credentials are the client id and secret that Tesla's portal gave for an
// application. They are comparable.
type Credentials struct {
	ClientID     string
	ClientSecret secret.Text
}

// IsZero reports whether one of the two is missing.
func (c Credentials) IsZero() bool { return c.ClientID == "" || c.ClientSecret.IsZero() }

// Config is what a Client is made from. Only Credentials are required.
type Config struct {
	Credentials Credentials
	AuthURL     string                // base URL of the host that issues tokens; "" = Tesla's, by region
	BaseURLs    map[Region]string     // what is dialled, and the audience of tokens; missing = Tesla's
	UserAgent   string                // "wellkey/<version>"; "" = "wellkey". A URL in it makes Tesla's firewall answer 403
	Timeout     time.Duration         // of one request; 0 = 30 s for Register, which makes Tesla download the key, 15 s for others
	Transport   http.RoundTripper     // nil = one of our own
	Registerer  prometheus.Registerer // nil = no metrics; services may share one
	Logger      *zap.Logger           // nil = none
	Clock       *skew.Clock           // is shown every answer, to compare our clock with Tesla's; nil = nobody wants to know
}

// A Service is what the clients of all applications share: where Tesla is found,
// how it is talked to, metrics, and the pace of requests.
type Service struct {
	auth, base map[Region]string
	userAgent  string
	limit      time.Duration
	http       *http.Client
	pace       *rate.Limiter
	metrics    *metrics
	log        *zap.Logger
	clock      *skew.Clock // may be nil
}

// A Client makes requests for one application. It is safe for concurrent use,
// and starts nothing: no goroutine and no connection outlives a call.
type Client struct {
	*Service
	credentials Credentials
	tokens      map[Region]*tokens // one for each region
}

// New returns a client with a Service of its own. Its error names every field
// that cannot be used.
func New(c Config) (*Client, error) {
	s, err := NewService(c)
	if err = errors.Join(c.Credentials.check(), err); err != nil {
		return nil, err
	}
	return s.Client(c.Credentials)
}

// NewService returns what clients share; it does not look at c.Credentials. Its
// error names every other field that cannot be used.
func NewService(c Config) (*Service, error) {
	var faults []error
	if strings.Contains(c.UserAgent, "://") {
		faults = append(faults, fmt.Errorf("user agent %q holds a URL, which Tesla's firewall refuses", c.UserAgent))
	}
	for r := range c.BaseURLs {
		if r.BaseURL() == "" {
			faults = append(faults, fmt.Errorf("unknown region %q", r))
		}
	}
	auths, bases := map[Region]string{}, map[Region]string{}
	for _, r := range Regions() {
		auth, err := checkURL(cmp.Or(c.AuthURL, r.AuthURL()))
		if err != nil && !(c.AuthURL != "" && r != NA) { // the same URL is bad for all regions: say it once
			faults = append(faults, fmt.Errorf("checking auth url: %w", err))
		}
		base, err := checkURL(cmp.Or(c.BaseURLs[r], r.BaseURL()))
		if err != nil {
			faults = append(faults, fmt.Errorf("checking base url of %s: %w", r, err))
		}
		auths[r], bases[r] = auth, base
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	log := c.Logger
	if log == nil {
		log = zap.NewNop()
	}
	transport := c.Transport
	if transport == nil {
		transport = newTransport()
	}
	return &Service{
		auth:      auths,
		base:      bases,
		userAgent: cmp.Or(c.UserAgent, "wellkey"),
		limit:     c.Timeout,
		http: &http.Client{
			Transport: transport,
			// The secret and the token must not follow an answer to another
			// place: a redirect is an answer like any other, and a refusal.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		pace:    rate.NewLimiter(perSecond, perSecond),
		metrics: m,
		log:     log.Named("fleetapi"),
		clock:   c.Clock,
	}, nil
}

// perSecond is how many requests all clients of a Service make in a second, at
// most: half of what Tesla allows at its token endpoint; it says nothing of the
// others.
//
// Source: https://developer.tesla.com/docs/fleet-api/billing-and-limits
const perSecond = 10

// Client returns a client for one application.
func (s *Service) Client(c Credentials) (*Client, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	client := &Client{Service: s, credentials: c, tokens: map[Region]*tokens{}}
	for _, r := range Regions() {
		client.tokens[r] = &tokens{}
	}
	return client, nil
}

func (c Credentials) check() error {
	var faults []error
	if c.ClientID == "" {
		faults = append(faults, errors.New("client id is missing"))
	}
	if c.ClientSecret.IsZero() {
		faults = append(faults, errors.New("client secret is missing"))
	}
	return errors.Join(faults...)
}

// newTransport makes a connection for every request: they are rare, Tesla asks
// not to hold on to its addresses, and a POST on a connection that went stale
// meanwhile would fail for nothing.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
}

// timeout returns how long one request may take.
func (s *Service) timeout(op Operation) time.Duration {
	switch {
	case s.limit > 0:
		return s.limit
	case op == OpRegister:
		return 30 * time.Second
	}
	return 15 * time.Second
}

// checkURL returns raw without a slash at the end, which Tesla compares exactly.
// It accepts scheme and host only; https, or http where the secret stays on
// this machine.
func checkURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", errors.New("not a URL") // the error of Parse shows the URL, and so a password in it
	}
	switch {
	case u.User != nil:
		return "", fmt.Errorf("%q holds a user name or password", u.Redacted())
	case u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q is not of the form https://host", raw)
	case !loopback.Safe(u):
		return "", fmt.Errorf("%q is not https; http is accepted for loopback addresses only, since it would show the client secret", raw)
	}
	return u.Scheme + "://" + u.Host, nil
}

// known returns an error, for programmers, where there is no such region.
func (s *Service) known(r Region) error {
	if s.base[r] == "" {
		return fmt.Errorf("finding region %q: unknown", r)
	}
	return nil
}

var _ interface { // what the registrar and the doctor use
	Register(context.Context, Region, string) (Account, error)
	PublicKey(context.Context, Region, string) (string, error)
	Token(context.Context, Region) (TokenInfo, error)
} = (*Client)(nil)
