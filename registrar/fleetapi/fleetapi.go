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
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

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
	Registerer  prometheus.Registerer // nil = no metrics; clients may share one
	Logger      *zap.Logger           // nil = none
	Clock       *skew.Clock           // is shown every answer, to compare our clock with Tesla's; nil = nobody wants to know
}

// A Client makes requests for one application. It is safe for concurrent use,
// and starts nothing: no goroutine and no connection outlives a call.
type Client struct {
	credentials Credentials
	places      map[Region]place
	userAgent   string
	limit       time.Duration
	http        *http.Client
	metrics     *metrics
	log         *zap.Logger
	clock       *skew.Clock // may be nil
}

// A place is where a region is found, and its token.
type place struct {
	auth, base string
	tokens     *tokens
}

// New returns a client. Its error names every field that cannot be used.
func New(c Config) (*Client, error) {
	var faults []error
	if c.Credentials.ClientID == "" {
		faults = append(faults, errors.New("client id is missing"))
	}
	if c.Credentials.ClientSecret.IsZero() {
		faults = append(faults, errors.New("client secret is missing"))
	}
	if strings.Contains(c.UserAgent, "://") {
		faults = append(faults, fmt.Errorf("user agent %q holds a URL, which Tesla's firewall refuses", c.UserAgent))
	}
	for r := range c.BaseURLs {
		if r.BaseURL() == "" {
			faults = append(faults, fmt.Errorf("unknown region %q", r))
		}
	}
	places := map[Region]place{}
	for _, r := range Regions() {
		auth, err := checkURL(cmp.Or(c.AuthURL, r.AuthURL()))
		if err != nil && !(c.AuthURL != "" && r != NA) { // the same URL is bad for all regions: say it once
			faults = append(faults, fmt.Errorf("checking auth url: %w", err))
		}
		base, err := checkURL(cmp.Or(c.BaseURLs[r], r.BaseURL()))
		if err != nil {
			faults = append(faults, fmt.Errorf("checking base url of %s: %w", r, err))
		}
		places[r] = place{auth: auth, base: base, tokens: &tokens{}}
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
	return &Client{
		credentials: c.Credentials,
		places:      places,
		userAgent:   cmp.Or(c.UserAgent, "wellkey"),
		limit:       c.Timeout,
		http: &http.Client{
			Transport: transport,
			// The secret and the token must not follow an answer to another
			// place: a redirect is an answer like any other, and a refusal.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		metrics: m,
		log:     log.Named("fleetapi"),
		clock:   c.Clock,
	}, nil
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
func (c *Client) timeout(op Operation) time.Duration {
	switch {
	case c.limit > 0:
		return c.limit
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
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return "", fmt.Errorf("%q is not https; http is accepted for loopback addresses only, since it would show the client secret", raw)
	}
	return u.Scheme + "://" + u.Host, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// place returns where region is. Its error is for programmers.
func (c *Client) place(r Region) (place, error) {
	p, ok := c.places[r]
	if !ok {
		return place{}, fmt.Errorf("finding region %q: unknown", r)
	}
	return p, nil
}

var _ interface { // what the registrar and the doctor use
	Register(context.Context, Region, string) (Account, error)
	PublicKey(context.Context, Region, string) (string, error)
	Token(context.Context, Region) (TokenInfo, error)
} = (*Client)(nil)
