package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

const (
	// largestDirectory is far above what a CA sends.
	largestDirectory = 1 << 20

	// clockTolerance is how far our clock may be from that of others.
	clockTolerance = 5 * time.Minute
)

// An absentError is that the CA did not give its directory: it was not asked
// for anything else.
type absentError struct{ error }

func (e *absentError) Unwrap() error { return e.error }

// ask reads the CA's directory, which costs the CA nothing and orders nothing. It
// tells whether the CA is there at all, which profiles it has, and what time it
// is: the next order will have our profile if the CA offers it, else none, since
// an order for another one always fails.
func (m *Manager) ask(ctx context.Context, c *client) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	profiles, err := m.readDirectory(ctx, c)
	if err != nil {
		return &absentError{fmt.Errorf("reading the CA's directory: %w", err)}
	}
	c.iss.Profile = ""
	if _, offered := profiles[m.cfg.Profile]; offered {
		c.iss.Profile = m.cfg.Profile
	}
	return nil
}

func (m *Manager) readDirectory(ctx context.Context, c *client) (profiles map[string]string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.directory.URL, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read whole, or not wanted
	m.noteClock(resp.Header.Get("Date"))
	body, err := io.ReadAll(io.LimitReader(resp.Body, largestDirectory+1))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		c.wire.noteRetryAfter(resp.Header)
		return nil, refusal(resp.StatusCode, body)
	}
	var directory acme.Directory
	if len(body) > largestDirectory {
		return nil, errors.New("the answer is too large to be a directory")
	}
	if err := json.Unmarshal(body, &directory); err != nil || directory.NewOrder == "" {
		return nil, errors.New("the answer is no ACME directory")
	}
	if directory.Meta == nil {
		return nil, nil
	}
	return directory.Meta.Profiles, nil
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

// noteClock compares our clock with the Date of an answer.
func (m *Manager) noteClock(date string) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	offset := m.cfg.Now().Sub(at)
	m.update(func(s *state) { s.offset = &offset })
}

// checkClock returns an error where our clock disagrees with the CA's, or with
// that of somebody else whom we talk to: what we would decide by it, and write
// down, would be wrong.
func (m *Manager) checkClock() error {
	offset, known := m.clockOffset()
	if !known || offset.Abs() <= clockTolerance {
		return nil
	}
	return &holdError{ReasonClock, m.cfg.Now().Add(clockAgain),
		fmt.Sprintf("the clock of this host differs by %s from that of the CA or of Tesla", offset.Round(time.Second))}
}

// clockOffset returns by how much our clock is ahead of others'; the larger one
// where they differ.
func (m *Manager) clockOffset() (offset time.Duration, known bool) {
	m.mu.Lock()
	if m.state.offset != nil {
		offset, known = *m.state.offset, true
	}
	m.mu.Unlock()
	if m.cfg.ClockOffset != nil {
		if other, ok := m.cfg.ClockOffset(); ok && (!known || other.Abs() > offset.Abs()) {
			return other, true
		}
	}
	return offset, known
}
