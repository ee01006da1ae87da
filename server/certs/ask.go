package certs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"wellkey/internal/pause"
)

const (
	// largestDirectory is far above what a CA sends.
	largestDirectory = 1 << 20

	// secondRead is how long after a read of the directory that failed it is read once
	// more. That the CA is down holds up all domains, and one answer that is lost on
	// the way, or comes from a machine that is about to be replaced, does not say so.
	secondRead = time.Second
)

// An absentError is that the CA is seen to be down: it was not asked for anything.
type absentError struct{ error }

func (e *absentError) Unwrap() error { return e.error }

// ask reads the CA's directory, which costs the CA nothing and orders nothing. It
// tells whether the CA is there at all, which profiles it has, and what time it
// is: the next order will have our profile if the CA offers it, else none, since
// an order for another one always fails.
func (a *authority) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	directory, err := a.readDirectory(ctx)
	if err != nil && !a.rec.Down && a.mayPass(err) && pause.For(ctx, secondRead) == nil {
		directory, err = a.readDirectory(ctx)
	}
	if errors.As(err, new(*holdError)) {
		return err
	}
	if err != nil {
		return &absentError{fmt.Errorf("reading the CA's directory: %w", err)}
	}
	a.client.iss.Profile = ""
	if a.rec.Down {
		if err := a.knock(ctx, directory); err != nil {
			return err
		}
	}
	if directory.Meta != nil {
		if _, offered := directory.Meta.Profiles[a.m.cfg.Profile]; offered {
			a.client.iss.Profile = a.m.cfg.Profile
		}
	}
	return nil
}

// mayPass reports whether a failure may be over in a moment: it is neither our clock's,
// nor has the CA said that we are to come later.
func (a *authority) mayPass(err error) bool {
	retryAfter, _ := a.client.wire.read()
	reason := classify(err)
	return retryAfter.IsZero() && reason != ReasonRateLimited && reason != ReasonClock
}

func (a *authority) readDirectory(ctx context.Context) (directory acme.Directory, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.directory.URL, nil)
	if err != nil {
		return directory, err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return directory, cmp.Or(a.clockByTLS(err), err)
	}
	defer func() { _ = resp.Body.Close() }() // read whole, or not wanted
	a.clock.Note(resp.Header)
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestDirectory+1))
	if err != nil {
		return directory, err
	}
	if resp.StatusCode != http.StatusOK {
		a.client.wire.noteRetryAfter(resp.Header)
		return directory, refusal(resp.StatusCode, body)
	}
	if len(body) > largestDirectory {
		return directory, errors.New("the answer is too large to be a directory")
	}
	if err := json.Unmarshal(body, &directory); err != nil || directory.NewOrder == "" {
		return directory, errors.New("the answer is no ACME directory")
	}
	return directory, nil
}

// refusal returns what the CA said, as a problem of RFC 8555 where it is one.
func refusal(status int, body []byte) error {
	var problem acme.Problem
	if json.Unmarshal(body, &problem) == nil && problem.Type != "" {
		problem.Status = status
		return problem
	}
	return fmt.Errorf("HTTP %d", status)
}
