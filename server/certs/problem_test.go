package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"wellkey/internal/secret"
	"wellkey/server/certs"
	"wellkey/server/certs/dns01"
)

func problem(kind, detail string, status int) error {
	return fmt.Errorf("solving challenge: %w", acme.Problem{Type: acme.ProblemTypeNamespace + kind, Detail: detail, Status: status})
}

func TestReasons(t *testing.T) {
	registering := func(err error) error { return fmt.Errorf("registering account [] with server: %w", err) }
	asked := func(err error) error { return &url.Error{Op: "Get", URL: "https://ca.test", Err: err} }
	dns := func(kind dns01.Kind) error {
		return fmt.Errorf("presenting for challenge: %w", &dns01.Error{Kind: kind})
	}
	seen := map[certs.Reason]bool{}
	for _, test := range []struct {
		err  error
		eab  *certs.EAB
		want certs.Reason
	}{
		{problem("connection", "Timeout during connect", 400), nil, certs.ReasonConnection},
		{problem("unauthorized", "During secondary validation: 404", 403), nil, certs.ReasonPerspectives},
		{problem("dns", "NXDOMAIN", 400), nil, certs.ReasonDNS},
		{problem("caa", "CAA record forbids", 403), nil, certs.ReasonCAA},
		{problem("tls", "handshake failure", 400), nil, certs.ReasonTLS},
		{problem("unauthorized", "Invalid response: 404", 403), nil, certs.ReasonUnauthorized},
		{problem("incorrectResponse", "other bytes", 403), nil, certs.ReasonUnauthorized},
		{certmagic.ErrNoRetry{Err: problem("rateLimited", "too many", 429)}, nil, certs.ReasonRateLimited},
		{problem("somethingNew", "slow down", 429), nil, certs.ReasonRateLimited},
		{errors.New("HTTP 429: slow down"), nil, certs.ReasonRateLimited},
		{registering(problem("unauthorized", "unknown key", 403)), &certs.EAB{KeyID: "k"}, certs.ReasonEAB},
		{registering(problem("externalAccountRequired", "bind it", 403)), nil, certs.ReasonEAB},
		{registering(problem("invalidContact", "no such host", 400)), nil, certs.ReasonAccount},
		{problem("rejectedIdentifier", "policy", 400), nil, certs.ReasonIdentifier},
		{problem("malformed", "what?", 400), nil, certs.ReasonRequest},
		{problem("serverInternal", "oops", 500), nil, certs.ReasonServer},
		{problem("somethingNew", "oops", 503), nil, certs.ReasonServer},
		{errors.New("HTTP 502: <html>"), nil, certs.ReasonServer},
		{asked(context.DeadlineExceeded), nil, certs.ReasonTimeout},
		{asked(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), nil, certs.ReasonUntrusted},
		{asked(&net.OpError{Op: "dial", Err: errors.New("refused")}), nil, certs.ReasonNetwork},
		{errors.New("failed storage check: no space - storage is probably misconfigured"), nil, certs.ReasonStorage},
		{certs.LocalError(errors.New("unreadable")), nil, certs.ReasonStorage},
		{certs.Unfit(errors.New("other name")), nil, certs.ReasonUnfit},
		{certs.Hold(certs.ReasonBudget), nil, certs.ReasonBudget},
		{certs.Hold(certs.ReasonShared), nil, certs.ReasonShared},
		{certs.Hold(certs.ReasonClock), nil, certs.ReasonClock},
		{certs.Hold(certs.ReasonEphemeral), nil, certs.ReasonEphemeral},
		{certs.Hold(certs.ReasonCrashLoop), nil, certs.ReasonCrashLoop},
		{dns("provider"), nil, certs.ReasonDNSProvider},
		{dns("zone"), nil, certs.ReasonDNSZone},
		{dns("delegation"), nil, certs.ReasonDNSDelegate},
		{dns("lookup"), nil, certs.ReasonDNSLookup},
		{dns("unseen"), nil, certs.ReasonDNSUnseen},
		{problem("unauthorized", `No TXT record found at _acme-challenge.example.com`, 403), nil, certs.ReasonDNSUnseen},
		{problem("dns", "DNS problem: NXDOMAIN looking up TXT for _acme-challenge.example.com", 400), nil, certs.ReasonDNSUnseen},
		{errors.New("never seen"), nil, certs.ReasonOther},
		{problem("somethingNew", "never seen", 400), nil, certs.ReasonOther},
	} {
		got := certs.Explain(test.err, test.eab)
		seen[got.Reason] = true
		if got.Reason != test.want || got.Cause == "" || got.Fix == "" || got.Text == "" {
			t.Errorf("%v: got %+v, want reason %s", test.err, got, test.want)
		}
	}
	for _, reason := range certs.Reasons() {
		if !seen[reason] {
			t.Errorf("no row for %s", reason)
		}
	}
}

// TestFixNamesTheDomain: of several, a command must be told which one.
func TestFixNamesTheDomain(t *testing.T) {
	if got := certs.Explain(certs.Hold(certs.ReasonBudget), nil).Fix; !strings.HasSuffix(got, "wellkey renew --now --domain explain.test") {
		t.Errorf("got %q", got)
	}
}

// TestFixEndsTheWait: who has mended what only a person can mend, is told how not to
// wait for the schedule, which a restart does not change; but a setting needs one first.
func TestFixEndsTheWait(t *testing.T) {
	dns := &dns01.Error{Kind: dns01.KindProvider}
	const (
		nothing = iota
		now
		restart
	)
	for err, want := range map[error]int{
		problem("connection", "Timeout during connect", 400):             now,
		problem("unauthorized", "During secondary validation: 404", 403): now,
		problem("dns", "NXDOMAIN", 400):                                  now,
		problem("tls", "handshake failure", 400):                         now,
		problem("unauthorized", "Invalid response: 404", 403):            now,
		problem("caa", "CAA record forbids", 403):                        now,
		problem("externalAccountRequired", "bind it", 403):               restart,
		problem("invalidContact", "no such mailbox", 400):                restart,
		fmt.Errorf("presenting for challenge: %w", dns):                  restart,
		problem("serverInternal", "oops", 500):                           nothing, // nobody here can mend it
		problem("rateLimited", "too many", 429):                          nothing, // it would be refused
		certs.Hold(certs.ReasonClock):                                    nothing, // it goes on at once
	} {
		got := certs.Explain(err, nil)
		told := nothing
		if before, _, found := strings.Cut(got.Fix, "; then run: wellkey renew --now --domain explain.test; or wait for the next attempt"); found {
			told = now
			if strings.HasSuffix(before, "; if you changed a setting, restart wellkey") {
				told = restart
			}
		}
		if told != want {
			t.Errorf("%s: got %q, want %d", got.Reason, got.Fix, want)
		}
	}
}

func TestFailureTextIsQuotedAndCut(t *testing.T) {
	got := certs.Explain(problem("dns", "\x1b[31mx"+strings.Repeat("é", 5000), 400), nil).Text
	if len(got) > 600 || !strings.HasPrefix(got, `"dns: \x1b[31mx`) || !strings.HasSuffix(got, `é"...`) {
		t.Errorf("got %q", got)
	}
}

func TestPauses(t *testing.T) {
	const minute = time.Minute
	now, refused := time.Now(), problem("connection", "refused", 400)
	for _, test := range []struct {
		name       string
		err        error
		inARow     int
		retryAfter time.Time
		least      time.Duration
		most       time.Duration
	}{
		{"first", refused, 1, time.Time{}, minute, 66 * time.Second},
		{"second", refused, 2, time.Time{}, 10 * minute, 11 * minute},
		{"third", refused, 3, time.Time{}, 100 * minute, 110 * minute},
		{"fourth", refused, 4, time.Time{}, 24 * time.Hour, 27 * time.Hour},
		{"thousandth", certmagic.ErrNoRetry{Err: refused}, 1000, time.Time{}, 24 * time.Hour, 27 * time.Hour},
		{"not the CA's matter", certs.LocalError(refused), 4, time.Time{}, 100 * minute, 27 * time.Hour},
		{"before the CA looks", &dns01.Error{Kind: dns01.KindProvider}, 4, time.Time{}, 10 * minute, 11 * minute},
		{"storage", certs.LocalError(errors.New("no space")), 4, time.Time{}, 10 * minute, 11 * minute},
		{"header", refused, 1, now.Add(5 * time.Hour), 5*time.Hour - minute, 5*time.Hour + 10*minute},
		{"header of the past", refused, 1, now.Add(-time.Hour), minute, 66 * time.Second},
		{"absurd header", refused, 1, now.AddDate(1, 0, 0), 8 * 24 * time.Hour, 8 * 24 * time.Hour},
		{"text", problem("rateLimited", "retry after "+now.Add(30*time.Hour).UTC().Format(time.DateTime)+" UTC: see", 429), 1, time.Time{}, 30*time.Hour - minute, 30*time.Hour + 10*minute},
		{"nonsense text", problem("rateLimited", "retry after 2026-99-99 99:99:99 UTC", 429), 1, time.Time{}, minute, 66 * time.Second},
	} {
		if got := certs.Pause(test.err, test.inARow, test.retryAfter); got < test.least || got > test.most {
			t.Errorf("%s: got %v, want %v to %v", test.name, got, test.least, test.most)
		}
	}
}

func TestRenewalTime(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	leaf := &x509.Certificate{NotBefore: begin, NotAfter: begin.AddDate(0, 0, 90)}
	for name, test := range map[string]struct{ suggested, want time.Time }{
		"the CA says nothing": {time.Time{}, begin.AddDate(0, 0, 60)},
		"the CA wants it now": {begin.AddDate(0, 0, 3), begin.AddDate(0, 0, 3)},
		"the CA is late":      {begin.AddDate(0, 0, 80), begin.AddDate(0, 0, 60)},
	} {
		if got := certs.RenewalTime(leaf, test.suggested); !got.Equal(test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func TestResolveDirectory(t *testing.T) {
	for _, test := range []struct {
		name, url string
		eab       bool
		err       string
	}{
		{"letsencrypt", "https://acme-v02.api.letsencrypt.org/directory", false, ""},
		{"letsencrypt-staging", "https://acme-staging-v02.api.letsencrypt.org/directory", false, ""},
		{"zerossl", "https://acme.zerossl.com/v2/DV90", true, ""},
		{"https://acme.zerossl.com/v2/DV90", "https://acme.zerossl.com/v2/DV90", true, ""},
		{"google", "https://dv.acme-v02.api.pki.goog/directory", true, ""},
		{"https://ca.example.com/dir", "https://ca.example.com/dir", false, ""},
		{"http://127.0.0.1:14000/dir", "http://127.0.0.1:14000/dir", false, ""},
		{"http://ca.example.com/dir", "", false, "must begin with https://"},
		{"ftp://127.0.0.1/dir", "", false, "must begin with https://"},
		{"https://user:word@ca.example.com/dir", "", false, "user name or password"},
		{"letsencypt", "", false, "is neither a URL nor one of letsencrypt, letsencrypt-staging, zerossl, google"},
	} {
		got, err := certs.ResolveDirectory(test.name)
		if got.URL != test.url || got.NeedsEAB != test.eab || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: got %+v, %v, want %q %t %q", test.name, got, err, test.url, test.eab, test.err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	addr := func() string { return "127.0.0.1:1" }
	good := certs.Config{Storage: &certmagic.FileStorage{Path: t.TempDir()}, TLSAddr: addr}
	for name, test := range map[string]struct {
		change func(*certs.Config)
		want   string
	}{
		"no storage":      {func(c *certs.Config) { c.Storage = nil }, "no storage is set"},
		"no listener":     {func(c *certs.Config) { c.TLSAddr = nil }, "both listeners are off"},
		"bad directory":   {func(c *certs.Config) { c.Directory = "none" }, "neither a URL"},
		"ZeroSSL, no EAB": {func(c *certs.Config) { c.Directory = "zerossl" }, "https://zerossl.com/documentation/acme/"},
		"Google, no EAB":  {func(c *certs.Config) { c.Directory = "google"; c.EAB = &certs.EAB{} }, "gcloud publicca"},
		"half an EAB":     {func(c *certs.Config) { c.EAB = &certs.EAB{KeyID: "k"} }, "belong together"},
		"EAB not base64":  {func(c *certs.Config) { c.EAB = &certs.EAB{KeyID: "k", MACKey: secret.New("a b")} }, "not base64url"},
	} {
		cfg := good
		test.change(&cfg)
		if _, err := certs.New(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	if _, err := certs.New(good); err != nil {
		t.Errorf("a good one: %v", err)
	}
}
