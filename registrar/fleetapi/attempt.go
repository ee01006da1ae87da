package fleetapi

import (
	"context"
	"time"
)

// An attempt is what is asked of Tesla in one go, in one region, one request after
// the other. It uses one token, for however short Tesla said that it lives. A
// registration is so of four requests at most, where there was a failure before: a
// token, a question, the registration, and the question again. Only where all was
// well before may the token be an older one, and be replaced once if it is refused.
type attempt struct {
	since time.Time
	of    *tokens // whose token it is: of one client and region; nil = none yet
	token *token
	held  bool // the token is from before the attempt, and may be replaced
}

type attemptKey struct{}

// Attempt returns a context whose requests are one attempt. They are made one after
// the other. Where something failed before, since is when that was: no token from
// before it is used, so that one that is at fault, or was given before somebody mended
// something in the portal, is not tried again; and Tesla's word that it does not accept
// the token is taken for its answer. Without such a context, each request is one.
func Attempt(ctx context.Context, since time.Time) context.Context {
	return context.WithValue(ctx, attemptKey{}, &attempt{since: since})
}

func attemptOf(ctx context.Context) *attempt {
	if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
		return a
	}
	return &attempt{}
}

// use returns the token of the attempt, the first time one that c holds or fetches.
func (a *attempt) use(ctx context.Context, c *Client, region Region) (*token, error) {
	of := c.tokens[region]
	if a.token != nil && a.of == of {
		return a.token, nil
	}
	t, held, err := c.token(ctx, region, a.since)
	if err != nil {
		return nil, err
	}
	a.of, a.token, a.held = of, t, held && a.since.IsZero()
	return t, nil
}

// refused drops the token, which Tesla does not accept, and reports whether a newer one
// may be tried at once: once an attempt.
func (a *attempt) refused() (again bool) {
	a.of.drop(a.token)
	a.since, a.token = a.token.given.Add(1), nil
	return a.held
}
