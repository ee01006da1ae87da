package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"golang.org/x/net/publicsuffix"
)

// Limits bound the orders for all domains together at a CA whose limits last. A
// renewal that the CA asked for, or of a certificate that it has given for the same
// name, is no new order to it, nor to us.
type Limits struct {
	Account    int // new orders in 3 hours
	Registered int // new certificates in 7 days for the names below one registered domain
}

// defaultLimits are those of Let's Encrypt (letsencrypt.org/docs/rate-limits: 300
// and 50), less what is left for the operator.
func defaultLimits() Limits { return Limits{Account: 250, Registered: 40} }

const (
	accountWindow    = 3 * time.Hour
	registeredWindow = 7 * day
)

// orders is what was ordered for all domains at a CA. It is kept in the storage,
// under one lock for all replicas: one item for the account and one for each
// registered domain, so that each stays small.
type orders struct {
	turn chan struct{} // holds one while somebody reads and writes it
}

// A tally is the times of orders within a window.
type tally struct {
	key    string
	most   int
	window time.Duration
	at     []time.Time
}

// spend enters a new order for a domain. Where one of the limits is reached, it
// enters nothing and returns when to come again.
func (o *orders) spend(ctx context.Context, cfg *Config, issuer, domain string) (again time.Time, err error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	folder := path.Join("issuance", "shared", issuer)
	if cfg.Shared {
		name := "orders_" + issuer
		if err := cfg.Storage.Lock(ctx, name); err != nil {
			return time.Time{}, err
		}
		defer func() { _ = cfg.Storage.Unlock(context.WithoutCancel(ctx), name) }() // it ends by itself
	}
	tallies := []*tally{
		{key: path.Join(folder, "account.json"), most: cfg.Limits.Account, window: accountWindow},
		{key: path.Join(folder, registered(domain)+".json"), most: cfg.Limits.Registered, window: registeredWindow},
	}
	now := cfg.Now()
	for _, t := range tallies {
		if err := t.load(ctx, cfg, now); err != nil {
			return time.Time{}, err
		}
		if len(t.at) >= t.most {
			again = later(again, t.at[len(t.at)-t.most].Add(t.window))
		}
	}
	if !again.IsZero() {
		return again, nil
	}
	for _, t := range tallies {
		t.at = append(t.at, now.UTC().Truncate(time.Second))
		data, err := json.Marshal(t.at)
		if err != nil {
			return time.Time{}, fmt.Errorf("encoding orders: %w", err)
		}
		if err := cfg.Storage.Store(ctx, t.key, data); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

// load reads what is within the window. What cannot be read counts as nothing: the
// CA still has its own limits, and each domain its budget.
func (t *tally) load(ctx context.Context, cfg *Config, now time.Time) error {
	data, err := cfg.Storage.Load(ctx, t.key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if json.Unmarshal(data, &t.at) != nil {
		t.at = nil
	}
	t.at = slices.DeleteFunc(t.at, func(at time.Time) bool { return now.Sub(at) >= t.window })
	for i, at := range t.at { // of a clock that was wrong
		t.at[i] = earlier(at, now)
	}
	slices.SortFunc(t.at, time.Time.Compare)
	return nil
}

// registered returns the domain that a CA counts a name under.
func registered(domain string) string {
	if name, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return name
	}
	return domain // a public suffix itself
}
