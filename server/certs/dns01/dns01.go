// Package dns01 proves to an ACME CA that a domain is ours by a TXT record (RFC
// 8555, section 8.4), for hosts that nobody can reach on ports 80 and 443. A
// Provider puts the record into a zone, takes it out again, and knows nothing
// else; a Solver does what is the same for all of them: it follows the CNAME by
// which a domain delegates its challenges, waits until every name server of the
// zone has the record, and cleans up.
//
// The solver is our own, and not certmagic's: that one does not follow the CNAME,
// is content when one name server has the record, asks resolvers that then
// remember for long that there was none, and says only in a text what went wrong.
package dns01

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"wellkey/internal/pause"
)

// ttl is how long a record may be remembered, in seconds: the least that
// Cloudflare takes, and nobody asks twice.
const ttl = 60

// A Record is the TXT record of one challenge.
type Record struct {
	Domain string // that is to be proved, such as "example.com"
	Name   string // where the record belongs, without a dot at the end: "_acme-challenge.example.com", or where its CNAME leads
	Value  string // without quotes; base64url, 43 bytes
}

// A Provider changes a zone. Errors are an *Error where more is known than that it
// failed; none holds a secret. It is safe for concurrent use.
type Provider interface {
	// Add makes the record, beside others of its name. A record that is there
	// already is no error.
	Add(ctx context.Context, r Record) error

	// Remove takes exactly this record out. One that is not there is no error.
	Remove(ctx context.Context, r Record) error
}

// Config says how challenges are solved.
type Config struct {
	Provider  Provider
	Resolvers []string      // IP:port; asked for the CNAME and the name servers; at least one
	Timeout   time.Duration // how long to wait for the record at every name server; 0 = do not look
	Delay     time.Duration // how long to wait after that
	Logger    *zap.Logger   // nil = none

	Port     string                                     // of authoritative name servers; "" = 53
	Interval time.Duration                              // between two looks; 0 = 2 s
	Wait     func(context.Context, time.Duration) error // nil = a timer; returns the context's error when that is done
}

const (
	// actTimeout ends a call of a provider that hangs.
	actTimeout = time.Minute

	// cleanTimeout ends the removal of a record, which a shutdown waits for.
	cleanTimeout = 20 * time.Second
)

// A Solver solves the DNS-01 challenges of ACME orders. It is an acmez.Solver and
// acmez.Waiter, and safe for concurrent use.
type Solver struct {
	cfg Config
	log *zap.Logger

	mu      sync.Mutex        // guards records
	records map[string]Record // what may be in the zone, by the token of the challenge
}

// New checks cfg. It starts nothing.
func New(cfg Config) (*Solver, error) {
	switch {
	case cfg.Provider == nil:
		return nil, errors.New("proving by DNS: no provider is set")
	case len(cfg.Resolvers) == 0:
		return nil, errors.New("proving by DNS: no resolver is set")
	}
	cfg.Port = cmp.Or(cfg.Port, "53")
	cfg.Interval = cmp.Or(cfg.Interval, 2*time.Second)
	if cfg.Wait == nil {
		cfg.Wait = pause.For
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Solver{cfg: cfg, log: cfg.Logger.Named("dns01"), records: map[string]Record{}}, nil
}

// Present puts the record of a challenge where the CA will look for it. The CNAME
// is looked up each time, so that a new one needs no restart.
func (s *Solver) Present(ctx context.Context, challenge acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, actTimeout)
	defer cancel()
	name, err := s.follow(ctx, challenge.DNS01TXTRecordName())
	if err != nil {
		return err
	}
	r := Record{Domain: challenge.Identifier.Value, Name: name, Value: challenge.DNS01KeyAuthorization()}
	s.mu.Lock()
	s.records[challenge.Token] = r // before it is made: after a timeout it may be there
	s.mu.Unlock()
	if err := s.cfg.Provider.Add(ctx, r); err != nil {
		if ctx.Err() == nil { // else it may be there, and CleanUp comes
			s.forget(challenge.Token)
		}
		return wrap(KindProvider, err, "adding the TXT record of %s", name)
	}
	s.log.Info("challenge record added", zap.String("domain", r.Domain), zap.String("name", name))
	return nil
}

// Wait blocks until every name server of the zone has the record, and then for
// the delay.
func (s *Solver) Wait(ctx context.Context, challenge acme.Challenge) error {
	s.mu.Lock()
	r := s.records[challenge.Token]
	s.mu.Unlock()
	if s.cfg.Timeout > 0 {
		if err := s.seen(ctx, r); err != nil {
			return err
		}
	}
	return s.cfg.Wait(ctx, s.cfg.Delay)
}

// CleanUp takes the record out again, also where ctx is done.
func (s *Solver) CleanUp(ctx context.Context, challenge acme.Challenge) error {
	r, ok := s.forget(challenge.Token)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if err := s.cfg.Provider.Remove(ctx, r); err != nil {
		return wrap(KindProvider, err, "removing the TXT record of %s", r.Name)
	}
	return nil
}

func (s *Solver) forget(token string) (Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[token]
	delete(s.records, token)
	return r, ok
}
