package fleetapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"wellkey/registrar/fleetapi"
)

func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		op      fleetapi.Operation
		respond func(*http.Request) (*http.Response, error)
		want    string
	}{
		{fleetapi.OpRegister, always(422, `{"response":null,"error":"Validation failed: Domain has already been taken","error_description":"","txid":"ab12"}`),
			`registering keys.example.com in eu: the domain keys.example.com is already registered by another application (domain_taken, status 422): ` +
				`"Validation failed: Domain has already been taken", txid ab12`},
		{fleetapi.OpPublicKey, always(412, `{"error":"set a domain for your account first"}`, "X-Txid", "cd-34"),
			`asking for the key of keys.example.com in eu: the application has no domain in this region (domain_not_set, status 412): ` +
				`"set a domain for your account first", txid cd-34`},
		{fleetapi.OpToken, always(400, `{"error":"invalid_audience","error_description":"The 'audience' parameter is invalid.","referenceID":"ef-56. For more information, visit: https://x"}`),
			`getting a token for eu: Tesla refuses the audience of the token (invalid_audience, status 400): ` +
				`"invalid_audience: The 'audience' parameter is invalid.", txid ef-56`},
		{fleetapi.OpToken, always(400, `{"error":"unauthorized_client","error_uri":"https://auth.tesla.com/error/reference/78-90"}`),
			`getting a token for eu: Tesla does not recognize the client id and secret (unauthorized_client, status 400): "unauthorized_client", txid 78-90`},
		{fleetapi.OpRegister, always(422, `{"error":"bad","messages":{"domain":["is odd","is long"],"ca":["is gone"]}}`),
			`registering keys.example.com in eu: Tesla finds fault with the registration (validation_failed, status 422): "bad: ca is gone: domain is odd, is long"`},
		{fleetapi.OpRegister, always(400, `{"error":{"code":1},"txid":"not a \n name"}`),
			`registering keys.example.com in eu: Tesla refuses for a reason that wellkey does not know (unknown_refusal, status 400): "{\"code\":1}"`},
		{fleetapi.OpRegister, always(503, "a\nb\x1b[31m"),
			`registering keys.example.com in eu: Tesla is not available (unavailable, status 503): "a\nb\x1b[31m"`},
		{fleetapi.OpRegister, always(500, strings.Repeat("é", 400)),
			`registering keys.example.com in eu: Tesla is not available (unavailable, status 500): "` + strings.Repeat("é", 150) + `…"`},
		{fleetapi.OpRegister, func(r *http.Request) (*http.Response, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "x"}
		},
			`registering keys.example.com in eu: the name of Tesla's host does not resolve (dns): "lookup x: no such host"`},
	} {
		if got := do(t, newClient(t, on(c.op, c.respond)), c.op, fleetapi.EU).Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestCauseAndFixAreFilledIn(t *testing.T) {
	e := wantCode(t, do(t, newClient(t, on(fleetapi.OpRegister, always(412, `{"error":"Root domain a must match registered allowed origin"}`))),
		fleetapi.OpRegister, fleetapi.NA), fleetapi.RootDomainMismatch)
	if !strings.Contains(e.Fix(), "add https://keys.example.com to the allowed origins of application "+clientID) {
		t.Errorf("got fix %q", e.Fix())
	}
	if !strings.Contains(e.Cause(), "root domain as keys.example.com") {
		t.Errorf("got cause %q", e.Cause())
	}
	s := fleetapi.Subject{Region: fleetapi.CN, BaseURL: "B", AuthURL: "A"}
	if got, want := s.Fill("{domain} {region} {region_name} {base_url} {auth_url} {key_url}"),
		"the domain cn China B A https://the domain"+fleetapi.KeyPath; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type timeoutError struct{}

func (timeoutError) Error() string { return "i/o timeout" }
func (timeoutError) Timeout() bool { return true }

func TestFailuresOnTheWay(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err  error
		code fleetapi.ReasonCode
	}{
		{context.DeadlineExceeded, fleetapi.Timeout},
		{dial(os.ErrDeadlineExceeded), fleetapi.Timeout},
		{timeoutError{}, fleetapi.Timeout},
		{dial(&net.DNSError{Err: "timeout", IsTimeout: true}), fleetapi.DNS},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, fleetapi.TLS},
		{x509.HostnameError{Certificate: &x509.Certificate{}, Host: "h"}, fleetapi.TLS},
		{x509.UnknownAuthorityError{}, fleetapi.TLS},
		{x509.CertificateInvalidError{Cert: &x509.Certificate{}}, fleetapi.TLS},
		{tls.AlertError(40), fleetapi.TLS},
		{tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, fleetapi.TLS},
		{errors.New("remote error: tls: handshake failure"), fleetapi.TLS},
		{errors.New("http: server gave HTTP response to HTTPS client"), fleetapi.TLS},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), fleetapi.ConnectionRefused},
		{dial(os.NewSyscallError("read", syscall.ECONNRESET)), fleetapi.ConnectionReset},
		{dial(os.NewSyscallError("write", syscall.EPIPE)), fleetapi.ConnectionReset},
		{io.EOF, fleetapi.ConnectionReset},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), fleetapi.Network},
	} {
		f := on(fleetapi.OpPublicKey, func(*http.Request) (*http.Response, error) { return nil, c.err })
		e := wantCode(t, do(t, newClient(t, f), fleetapi.OpPublicKey, fleetapi.NA), c.code)
		if !errors.Is(e, c.err) && e.Err == nil {
			t.Errorf("%v is not in the chain of %v", c.err, e)
		}
		if e.Status != 0 || e.Text != c.err.Error() || strings.Contains(e.Error(), "https://") {
			t.Errorf("got status %d, text %q, error %q", e.Status, e.Text, e)
		}
	}
}

func TestBodiesThatEndBadly(t *testing.T) {
	for _, c := range []struct {
		err  error
		code fleetapi.ReasonCode
	}{
		{io.ErrUnexpectedEOF, fleetapi.BadAnswer},
		{syscall.ECONNRESET, fleetapi.ConnectionReset},
		{os.ErrDeadlineExceeded, fleetapi.Timeout},
	} {
		f := on(fleetapi.OpPublicKey, func(*http.Request) (*http.Response, error) {
			body := io.MultiReader(strings.NewReader(`{"response":{"public_key":"04"}}`), iotest.ErrReader(c.err))
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
		})
		wantCode(t, do(t, newClient(t, f), fleetapi.OpPublicKey, fleetapi.NA), c.code)
	}
}

func TestDeadlines(t *testing.T) {
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	for op, want := range map[fleetapi.Operation]time.Duration{
		fleetapi.OpToken: 15 * time.Second, fleetapi.OpPublicKey: 15 * time.Second, fleetapi.OpRegister: 30 * time.Second,
	} {
		for _, limit := range []time.Duration{0, 3 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, on(op, hang), func(c *fleetapi.Config) { c.Timeout = limit })
				start := time.Now()
				e := wantCode(t, do(t, c, op, fleetapi.NA), fleetapi.Timeout)
				if got := time.Since(start); limit == 0 && got != want || limit != 0 && got != limit {
					t.Errorf("%s took %v", op, got)
				}
				if !errors.Is(e, context.DeadlineExceeded) {
					t.Errorf("%v is no deadline", e)
				}
			})
		}
	}
}

func TestCancelledIsNoRefusal(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := on(fleetapi.OpRegister, func(r *http.Request) (*http.Response, error) {
		cancel()
		return nil, r.Context().Err()
	})
	_, err := newClient(t, f).Register(ctx, fleetapi.NA, domain)
	if !errors.Is(err, context.Canceled) || errors.As(err, new(*fleetapi.Error)) ||
		err.Error() != "registering keys.example.com in na: context canceled" {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, c := range []struct {
			status int
			header []string
			want   time.Duration // -1 = not said
		}{
			{429, []string{"Retry-After", "90"}, 90 * time.Second},
			{503, []string{"Retry-After", " 90 "}, 90 * time.Second},
			{429, []string{"Retry-After", now.Add(time.Hour).UTC().Format(http.TimeFormat)}, time.Hour},
			{429, []string{"Retry-After", now.Add(-time.Hour).UTC().Format(http.TimeFormat)}, 0},
			{429, []string{"Retry-After", now.Add(9000 * time.Hour).UTC().Format(http.TimeFormat)}, 24 * time.Hour},
			{429, []string{"Retry-After", "99999999"}, 24 * time.Hour},
			{429, []string{"RateLimit-Reset", "30"}, 30 * time.Second},
			{429, []string{"RateLimit-Reset", fmt.Sprint(now.Add(time.Minute).Unix())}, time.Minute},
			{429, []string{"RateLimit-Realtime-Data-Reset", "30", "RateLimit-Auth-Reset", "40"}, 40 * time.Second},
			{429, []string{"RateLimit-Reset", "30", "Retry-After", "5"}, 5 * time.Second},
			{429, []string{"RateLimit-Limit", "30"}, -1},
			{403, []string{"RateLimit-Reset", "30"}, -1},
			{429, []string{"Retry-After", "soon"}, -1},
			{429, []string{"Retry-After", "-5"}, -1},
			{429, []string{"Retry-After", "NaN"}, -1},
			{429, nil, -1},
			// Tesla's clock and ours differ by ten years.
			{429, []string{"Date", now.AddDate(10, 0, 0).UTC().Format(http.TimeFormat), "Retry-After", now.AddDate(10, 0, 0).Add(time.Hour).UTC().Format(http.TimeFormat)}, time.Hour},
			{429, []string{"Date", now.AddDate(10, 0, 0).UTC().Format(http.TimeFormat), "RateLimit-Reset", fmt.Sprint(now.AddDate(10, 0, 0).Add(time.Minute).Unix())}, time.Minute},
		} {
			f := on(fleetapi.OpToken, always(c.status, "", c.header...))
			var e *fleetapi.Error
			errors.As(do(t, newClient(t, f), fleetapi.OpToken, fleetapi.NA), &e)
			if c.want < 0 {
				if !e.RetryAfter.IsZero() {
					t.Errorf("%d %q: got %v, want none", c.status, c.header, e.RetryAfter)
				}
			} else if got := e.RetryAfter.Sub(now); got != c.want {
				t.Errorf("%d %q: got %v, want %v", c.status, c.header, got, c.want)
			}
		}
	})
}

// TestNothingLeaks runs every row and failure, each with an answer that echoes
// the secrets, and looks for them wherever text comes out.
func TestNothingLeaks(t *testing.T) {
	var out bytes.Buffer
	reg := prometheus.NewRegistry()
	log := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel))
	var config fleetapi.Config
	prepare := func(c *fleetapi.Config) {
		c.Registerer, c.Logger, config = reg, log, *c
		config.Transport = nil // the fake knows all
	}
	check := func(secrets ...string) {
		t.Helper()
		for _, s := range secrets {
			if i := strings.Index(out.String(), s); i >= 0 {
				t.Fatalf("a secret shows: …%.300s", out.String()[max(0, i-200):])
			}
		}
		out.Reset()
	}
	try := func(op fleetapi.Operation, respond func(*http.Request) (*http.Response, error)) {
		t.Helper()
		c := newClient(t, on(op, respond), prepare)
		err := do(t, c, op, fleetapi.NA)
		for _, v := range []any{c, *c, config, err} {
			fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		}
		var e *fleetapi.Error
		if errors.As(err, &e) {
			fmt.Fprintf(&out, "%#v %+v %s %s %s %s\n", *e, *e, e.Text, e.TxID, e.Cause(), e.Fix())
		}
	}
	quoted := strings.NewReplacer(`"`, `\"`).Replace(canarySecret)
	echoes := []string{
		"you sent " + canarySecret + " and Bearer " + canaryToken,
		`{"error":"` + quoted + `","error_description":"` + canaryToken + `","txid":"` + canaryToken + `"}`,
		`{"error":{"form":"client_secret=` + url.QueryEscape(canarySecret) + `"}}`,
		strings.Repeat("x", 1990) + canarySecret,
	}
	for _, body := range []string{
		"access_token=" + canaryToken,
		`["` + canaryToken + `"]`,
		`{"access_token":"` + canaryToken + `"`,
		`{"access_token":"` + canaryToken + `","access_token":"` + canaryToken + `"}`,
		`{"access_token":"` + canaryToken + `","token_type":"mac"}`,
		`{"access_token":"` + canaryToken + `","expires_in":1}`,
	} {
		try(fleetapi.OpToken, always(200, body))
		check("c@n%ary", canaryToken)
	}
	for _, row := range fleetapi.Catalogue() {
		answers := []func(*http.Request) (*http.Response, error){
			func(*http.Request) (*http.Response, error) {
				return nil, errors.New("sent " + canarySecret + canaryToken)
			},
		}
		for _, x := range row.Examples {
			answers = append(answers, respond(x))
			for _, echo := range echoes {
				answers = append(answers, always(x.Status, echo, "X-Txid", canaryToken))
			}
		}
		for _, a := range answers {
			try(fleetapi.OpToken, a)
			check("c@n%ary", "c%40n%25ary") // there is no token yet that could be known for one
			for _, op := range []fleetapi.Operation{fleetapi.OpRegister, fleetapi.OpPublicKey} {
				try(op, a)
				check("c@n%ary", "c%40n%25ary", canaryToken)
			}
		}
	}
	out.WriteString(metricsText(t, reg))
	check("c@n%ary", canaryToken)
}
