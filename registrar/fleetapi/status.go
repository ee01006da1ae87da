package fleetapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
)

// OpStatus is the request of Status. It is none of Operations: Tesla cannot
// refuse it, it is either up or not.
const OpStatus Operation = "status" // GET {base}/status

// Status asks whether Tesla's API of region is up; it wants no token. nil means
// that it is. The error is an *Error, or that of a cancelled ctx.
//
// Source: the client python-tesla-fleet-api
func (c *Client) Status(ctx context.Context, region Region) error {
	if err := c.known(region); err != nil {
		return err
	}
	r := request{op: OpStatus, region: region, method: http.MethodGet, url: c.base[region] + "/status"}
	e := c.blank(r)
	status, text, err := c.get(ctx, r)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return c.stopped(r, ctx.Err())
	case err != nil:
		e.Refusal, e.Text, e.Err = find(failure(err)), withoutURL(err).Error(), err
		return e
	case status == http.StatusOK && strings.TrimSpace(text) == "ok":
		return nil
	}
	e.Refusal, e.Status, e.Text = find(Unavailable), status, text
	return e
}

func (c *Client) get(ctx context.Context, r request) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout(r.op))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("User-Agent", c.userAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }() // what it could tell, reading told
	raw, err := io.ReadAll(io.LimitReader(resp.Body, kept))
	return resp.StatusCode, strings.ToValidUTF8(string(raw), "\ufffd"), err
}
