package certs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// downAgain is how often to look, at most, whether a CA is back that was down.
const downAgain = 50 * time.Minute

// A CA that is down is left alone with attempts, as it asks for: a minute, ten,
// hundred, then a day. But then it would be noticed a day late that it is back.
// So it is looked at meanwhile: by reading its directory and by knocking at the
// resources that an order begins with. None of that makes an order or an account,
// and but for the account's it is not even signed. Once nothing says that the CA
// is down, an attempt is made early. There are few of those, in case the CA only
// seems to be back.
const (
	mostADay  = 5  // attempts, early ones included
	mostAWeek = 11 // likewise
)

// look returns an error where a CA can be seen to be down.
func (a *authority) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	directory, err := a.readDirectory(ctx)
	if err != nil {
		return &absentError{fmt.Errorf("reading the CA's directory: %w", err)}
	}
	return a.knock(ctx, directory)
}

// knock returns an error where a resource that an order begins with is out of
// order. A CA that works answers a GET there with 405 (RFC 8555, section 6.3),
// and anything that it has thought about means that it is there.
func (a *authority) knock(ctx context.Context, directory acme.Directory) error {
	for _, door := range []struct{ method, url string }{
		{http.MethodHead, directory.NewNonce}, // as for every nonce (section 7.2)
		{http.MethodGet, directory.NewAccount},
		{http.MethodGet, directory.NewOrder},
	} {
		if err := a.knockAt(ctx, door.method, door.url); err != nil {
			return &absentError{fmt.Errorf("looking whether the CA is back: %w", err)}
		}
	}
	if err := a.lookUpAccount(ctx); err != nil {
		return &absentError{fmt.Errorf("looking whether the CA is back: %w", err)}
	}
	return nil
}

func (a *authority) knockAt(ctx context.Context, method, url string) error {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read, or not wanted
	body, _ := io.ReadAll(io.LimitReader(resp.Body, largestDirectory))
	if resp.StatusCode < http.StatusInternalServerError && resp.StatusCode != http.StatusTooManyRequests {
		return nil
	}
	a.client.wire.noteRetryAfter(resp.Header)
	return refusal(resp.StatusCode, body)
}

// lookUpAccount asks for the account that we have at the CA, if there is one: a
// small request that goes through all that a signed request does.
func (a *authority) lookUpAccount(ctx context.Context) error {
	_, private := a.accountKeys()
	keyPEM, err := a.m.cfg.Storage.Load(ctx, private)
	if err != nil {
		return nil // none, or the storage's trouble
	}
	key, err := decodeKey(keyPEM)
	if err != nil {
		return nil
	}
	if _, err = a.accountOf(ctx, key); err != nil && classify(err).ofTheCA() {
		return err
	}
	return nil // also where the CA has thought about it, and says no
}

// ofTheCA reports whether a reason is an outage of the CA, or of the way to it.
func (r Reason) ofTheCA() bool {
	return r == ReasonServer || r == ReasonTimeout || r == ReasonNetwork
}

// seenDown reports whether the CA, which has just failed for a reason, can be
// seen to be down. Where it cannot, looking would not tell that it is back either.
func (a *authority) seenDown(ctx context.Context, reason Reason) bool {
	return reason.ofTheCA() && a.look(ctx) != nil
}

// lookAgain looks whether the CA is back, and returns when to come again; zero =
// it is back.
func (a *authority) lookAgain(ctx context.Context) time.Time {
	now := a.m.cfg.Now()
	a.looked, a.lookAt = now, now.Add(downAgain-jitter(downAgain))
	err := a.look(ctx)
	if err == nil {
		a.log.Info("the CA answers again, so a certificate is requested at once")
		a.rec.Down = false
		a.outage.over()
		return time.Time{}
	}
	a.log.Debug("the CA is still down", zap.Error(err))
	if retryAfter, _ := a.client.wire.read(); retryAfter.After(a.rec.Earliest) {
		a.rec.Earliest = earlier(retryAfter, now.Add(longestRetryAfter))
	}
	next := a.nextLook(now)
	if a.rec.Last != nil {
		a.tellOthers(*a.rec.Last, next)
	}
	return next
}

// nextLook returns when to come: for the next attempt by the schedule, or before
// that to look whether the CA is back.
func (a *authority) nextLook(now time.Time) time.Time {
	if !a.rec.Down || !a.rec.mayTryEarly(now) {
		return a.rec.Next
	}
	return earlier(a.rec.Next, later(a.lookAt, a.rec.Earliest))
}

// tried enters an attempt.
func (r *record) tried(now time.Time) {
	var recent []time.Time
	for _, at := range append(r.Tries, now) {
		if age := now.Sub(at); 0 <= age && age < 7*day {
			recent = append(recent, at)
		}
	}
	r.Tries = recent[max(len(recent)-2*mostAWeek, 0):]
}

// mayTryEarly reports whether the bounds leave room for an attempt beside those
// of the schedule.
func (r *record) mayTryEarly(now time.Time) bool {
	inADay, inAWeek := 0, 0
	for _, at := range r.Tries {
		if now.Sub(at) < day {
			inADay++
		}
		if now.Sub(at) < 7*day {
			inAWeek++
		}
	}
	// One a day is still to come by the schedule in the first week.
	toCome := max(0, int((7*day-now.Sub(r.Trouble))/day))
	return inADay < mostADay && inAWeek+toCome < mostAWeek
}
