package testworld

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
)

// A Visit is what a client of its own saw at the key's path.
type Visit struct {
	Status int
	Header http.Header
	Body   []byte
	TLS    *tls.ConnectionState
}

// visitPatience is how long one visit may take: far more than it needs, since a
// machine may be busy.
const visitPatience = time.Minute

// Fetch gets the key as Tesla does: a TLS client that trusts the one root only,
// and follows no redirect.
func (w *World) Fetch(ctx context.Context) (Visit, error) { return w.FetchOf(ctx, w.Domain) }

// hurry is a little less than the server waits for a client.
const hurry = 4 * time.Second

// FetchOf is Fetch for another domain. What fails after seconds is tried again: on a
// busy machine it is the client that got no processor, so that the server gave it up.
func (w *World) FetchOf(ctx context.Context, domain string) (v Visit, err error) {
	for range 5 {
		began := time.Now()
		if v, err = w.fetchOnce(ctx, domain); err == nil {
			return v, nil
		}
		took := time.Since(began)
		err = fmt.Errorf("after %v: %w", took.Round(time.Millisecond), err) // tells who gave up whom
		if took < hurry || ctx.Err() != nil {
			break
		}
	}
	return v, err
}

func (w *World) fetchOnce(ctx context.Context, domain string) (Visit, error) {
	transport := &http.Transport{
		DialContext:       w.dial,
		TLSClientConfig:   &tls.Config{RootCAs: w.Roots()},
		ForceAttemptHTTP2: true,
		DisableKeepAlives: true,
	}
	client := &http.Client{
		Transport:     transport,
		Timeout:       visitPatience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return visit(ctx, client, "https://"+domain+fleetapi.KeyPath, 4<<10)
}

// visit gets what is at a URL, and so many bytes of it at the most.
func visit(ctx context.Context, client *http.Client, url string, most int64) (Visit, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Visit{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return Visit{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	return Visit{Status: resp.StatusCode, Header: resp.Header, Body: body, TLS: resp.TLS}, err
}

// Check proves the outcome from outside: the chain, the bytes, and what Tesla
// has on record in every region. It returns everything that is wrong.
func (w *World) Check(ctx context.Context, regions ...fleetapi.Region) error {
	v, err := w.Fetch(ctx)
	if err != nil {
		return fmt.Errorf("fetching the key from outside: %w", err)
	}
	var faults []error
	fault := func(failed bool, format string, args ...any) {
		if failed {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(v.Status != http.StatusOK, "the key's path answers with status %d, not 200", v.Status)
	fault(v.Header.Get("Content-Type") != "application/x-pem-file", "the content type is %q", v.Header.Get("Content-Type"))
	fault(len(v.TLS.VerifiedChains) == 0 || len(v.TLS.PeerCertificates) < 2, "the chain is not complete: %d certificates", len(v.TLS.PeerCertificates))
	parsed, err := keystore.Parse(v.Body)
	if err != nil {
		return errors.Join(append(faults, fmt.Errorf("what is served is no key: %w", err))...)
	}
	fault(string(v.Body) != string(parsed.Key.PEM()), "the key is not in its canonical form: %d bytes", len(v.Body))
	for _, region := range regions {
		got := w.Registered(region)
		fault(got == "", "Tesla has no registration in %s", region)
		fault(got != "" && got != parsed.Key.Hex(), "Tesla has another key on record in %s", region)
	}
	return errors.Join(faults...)
}
