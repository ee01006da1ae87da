package fleetapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"wellkey/internal/secret"
)

const (
	// largest is the most that we read of an answer. The largest known one is
	// a token's, with less than a kilobyte.
	largest = 1 << 20
	// kept is how much of a foreign text an Error keeps, in bytes.
	kept = 2000
)

// A request is one request to Tesla.
type request struct {
	op          Operation
	region      Region
	domain      string
	method, url string
	contentType string
	body        string      // holds the client secret for OpToken: never shown
	bearer      secret.Text // zero for OpToken
}

// exchange makes one request, and returns the answer if it is a success: a
// status of 2xx whose body, unless the status is 204, is a JSON object without
// an error. Everything else is an *Error; but a cancelled ctx ends in an error
// that only wraps context.Canceled, since then nobody refused anything.
func (c *Client) exchange(ctx context.Context, r request) (answer, error) {
	if err := c.pace.Wait(ctx); err != nil {
		return answer{}, c.stopped(r, cmp.Or(ctx.Err(), err))
	}
	start := time.Now()
	a, err := c.roundTrip(ctx, r)
	a.request = r
	c.metrics.answered(r, a.status, time.Since(start))
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, c.stopped(r, ctx.Err())
		}
		return answer{}, c.fail(a, find(failure(err)), withoutURL(err).Error(), err)
	}
	if a.succeeded() {
		c.log.Debug("request succeeded", zap.String("operation", string(r.op)), zap.String("region", string(r.region)),
			zap.String("domain", r.domain), zap.Int("status", a.status), zap.Duration("duration", time.Since(start)), zap.String("txid", a.txid))
		return a, nil
	}
	text := a.text
	if r.op == OpToken && a.status/100 == 2 && a.body == BodyOther {
		text = "" // it may be a token in a form that we do not read
	}
	return answer{}, c.fail(a, classify(r.op, a), text, nil)
}

func (c *Client) roundTrip(ctx context.Context, r request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout(r.op))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(r.body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("User-Agent", c.userAgent)
	req.Header.Set("Accept", "application/json")
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	if !r.bearer.IsZero() {
		req.Header.Set("Authorization", "Bearer "+r.bearer.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // what it could tell, reading told
	if c.clock != nil {
		c.clock.Note(resp.Header)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, largest+1))
	a := readAnswer(resp.StatusCode, resp.Header, raw)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF): // the connection ended in order, the body did not
		a.broken("the body is cut")
	case err != nil:
		return answer{status: resp.StatusCode}, err
	}
	return a, nil
}

// stopped is the error of a request that the caller ended: by a deadline of
// their own, which is a timeout like any other, or by cancelling.
func (c *Client) stopped(r request, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		e := c.fail(answer{request: r}, find(Timeout), err.Error(), err)
		e.gaveUp = true
		return e
	}
	return fmt.Errorf("%s: %w", c.blank(r).doing(), err)
}

// bad is the error of an answer that would be a success if it held what it must.
func (c *Client) bad(a answer, why string) error {
	return c.fail(a, find(BadAnswer), why, nil)
}

// fail makes, counts and logs an Error. It is the only place where foreign text
// comes in, so here our secrets are taken out of it, should anyone echo them.
func (c *Client) fail(a answer, row Refusal, text string, err error) *Error {
	e := c.blank(a.request)
	e.Refusal, e.Status, e.TxID = row, a.status, a.txid
	for _, s := range []secret.Text{c.credentials.ClientSecret, a.request.bearer} {
		text = s.Hide(text)
		e.TxID = s.Hide(e.TxID)
	}
	if len(text) > kept {
		text = text[:kept]
	}
	e.Text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if err != nil {
		e.Err = &lost{text: e.Text, err: err}
	}
	e.RetryAfter = retryAfter(a.status, a.header, time.Now())
	c.metrics.failed(e)
	c.log.Debug("request failed", zap.String("operation", string(e.Operation)), zap.String("region", string(e.Region)),
		zap.String("domain", e.Domain), zap.String("reason", string(row.Code)), zap.Int("status", e.Status), zap.String("txid", e.TxID), zap.Error(e))
	return e
}

func (c *Client) blank(r request) *Error {
	return &Error{
		Operation: r.op, Region: r.region, Domain: r.domain,
		ClientID: c.credentials.ClientID, BaseURL: c.base[r.region], AuthURL: c.auth[r.region],
	}
}
