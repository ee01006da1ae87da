package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"

	"wellkey/internal/skew"
)

// Explain puts err into words as a Manager with or without an EAB would, about
// explain.test.
func Explain(err error, eab *EAB) Failure {
	a := &authority{ca: &ca{eab: eab}, m: &subject{domain: "explain.test", cfg: &Config{Common: Common{Now: time.Now}}}}
	return a.explain(err)
}

// LocalError marks err as one that the CA has no part in.
func LocalError(err error) error { return &localError{err} }

// Reasons returns every reason of a failed attempt.
func Reasons() []Reason {
	var reasons []Reason
	for _, row := range explanations() {
		reasons = append(reasons, row.reason)
	}
	return reasons
}

// Pause returns how long a Manager waits after so many failures in a row.
func Pause(err error, inARow int, retryAfter time.Time) time.Duration {
	return PauseSince(err, inARow, 0, retryAfter)
}

// PauseSince is Pause after failures of the same reason for that long.
func PauseSince(err error, inARow int, since time.Duration, retryAfter time.Time) time.Duration {
	return pauseOf(Primary, err, inARow, since, retryAfter)
}

// PauseOfFallback is Pause of the fallback.
func PauseOfFallback(err error, inARow int) time.Duration {
	return pauseOf(Fallback, err, inARow, 0, time.Time{})
}

func pauseOf(role Role, err error, inARow int, since time.Duration, retryAfter time.Time) time.Duration {
	now := time.Now()
	cfg := Config{Storage: noStorage{}, Common: Common{Now: func() time.Time { return now }}}
	all := &Manager{cas: []*ca{{role: role, http: &http.Client{}, clock: skew.New(nil)}}}
	all.metrics, _ = newMetrics(nil, all)
	m := &subject{domain: "pause.test", all: all, cfg: &cfg, log: zap.NewNop()}
	m.authorities = m.newAuthorities(all.cas)
	a := m.authorities[0]
	a.client, a.opened = &client{wire: &wire{retryAfter: retryAfter}}, true
	last := a.explain(err)
	a.rec = record{Failures: inARow - 1, Last: &last, Since: now.Add(-since)}
	a.failed(context.Background(), err)
	return a.rec.Next.Sub(now)
}

type noStorage struct{ certmagic.Storage }

func (noStorage) Store(context.Context, string, []byte) error { return nil }

// CACounts makes m treat its CAs as ones with limits that last.
func (m *Manager) CACounts() {
	for _, ca := range m.cas {
		ca.counts = true
	}
}

// Patience sets how long m waits for an answer of a CA. It is called while m waits
// for the test.
func (m *Manager) Patience(d time.Duration) {
	for _, ca := range m.cas {
		ca.http.Timeout = d
	}
}

// WorthTryingElsewhere reports what is thought of a reason: that it lies on this
// host, or else that another CA would likely find the same.
func WorthTryingElsewhere(r Reason) (here, same bool) {
	return r.elsewhere() == ours, r.elsewhere() == asHere
}

// Production reports whether a CA may have limits that last.
func Production(d Directory) bool { return d.production() }

// Hold is why nothing is ordered.
func Hold(reason Reason) error { return &holdError{reason: reason, text: "not now"} }

// Unfit marks err as a fault of a new certificate.
func Unfit(err error) error { return &unfitError{err} }

// RenewalTime is when a certificate is renewed that the CA suggests to renew at
// suggested, which may be zero.
func RenewalTime(leaf *x509.Certificate, suggested time.Time) time.Time {
	return renewalTime(leaf, acme.RenewalInfo{SelectedTime: suggested})
}

// FirstLook makes the first look at one of many domains, before any work, and returns
// how many certificates that keeps for it.
func (m *Manager) FirstLook(ctx context.Context, domain string) (held int) {
	s := m.get(domain)
	s.run(ctx)
	for _, a := range s.authorities {
		if a.held != nil {
			held++
		}
	}
	return held
}

// Jumped makes jumped tell whether the clock was set or the machine slept between
// two moments. It is called before Run.
func (m *Manager) Jumped(jumped func(then, now time.Time) bool) { m.jumped = jumped }

// NoticeLoss looks at the mark of a shared storage, as a Manager that runs does.
func (m *Manager) NoticeLoss(ctx context.Context, before string) string {
	return m.noticeLoss(ctx, before)
}

// InMemory returns how many certificates are in memory.
func (m *Manager) InMemory() int {
	m.certs.mu.Lock()
	defer m.certs.mu.Unlock()
	return len(m.certs.ring)
}

// Known makes cert the one that is served for a domain, as a step does.
func (m *Manager) Known(domain string, cert *tls.Certificate) {
	m.get(domain).serve(stored{cert: cert})
}

// A Record is what is stored of one domain at one CA.
type Record struct{ record }

// DecodeRecord reads a record as a start does.
func DecodeRecord(data []byte, domain string) (Record, error) {
	rec, err := decodeRecord(data, domain)
	return Record{rec}, err
}

// Mend brings the budget to a time that is right.
func (r *Record) Mend(now time.Time) { r.Ledger.mend(now) }

// Remaining and Refill tell of the budget.
func (r *Record) Remaining(now time.Time, apart bool) int { return r.Ledger.remaining(now, apart) }

// Refill returns when there is more of it.
func (r *Record) Refill(now time.Time, apart bool) time.Time { return r.Ledger.refill(now, apart) }

// Spend enters an order; "" is one of the usual kind.
func (r *Record) Spend(at time.Time, replaces string) { r.Ledger.spend(entry{at, replaces}) }

// Fail enters a failure and returns how long to wait after it.
func (r *Record) Fail(reason Reason, now time.Time) time.Duration {
	r.fail(Failure{At: now, Reason: reason}, now)
	return r.pause(Primary, now)
}

// Elsewhere reports what is thought of the failures in r.
func (r *Record) Elsewhere() {
	for _, failure := range []*Failure{r.Last, r.Why} {
		if failure != nil {
			failure.Reason.elsewhere()
		}
	}
}

// Tally returns the orders in a file of them that count at now.
func Tally(ctx context.Context, s certmagic.Storage, key string, window time.Duration, now time.Time) ([]time.Time, error) {
	t := &tally{key: key, window: window}
	err := t.load(ctx, &Config{Storage: s}, now)
	return t.at, err
}

// Roles are all roles that a CA may have.
var Roles = roles

// ResolveDirectory returns the CA that a name stands for.
var ResolveDirectory = resolveDirectory

// NewLookups is newLookups.
var NewLookups = newLookups

// Items returns of how many items there was a look lately.
func (l *lookups) Items() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items)
}

// Stored returns what the first look at a domain would serve, and when it is renewed;
// nil = nothing.
func (m *Manager) Stored(ctx context.Context, domain string) (cert *tls.Certificate, renewal time.Time, err error) {
	s, err := m.get(domain).load(ctx)
	if err != nil || s.cert == nil {
		return nil, time.Time{}, err
	}
	return s.cert, renewalTime(s.cert.Leaf, s.ari), nil
}

// Pair returns a pair that may be served.
func Pair(certPEM, keyPEM []byte, domain string) (*tls.Certificate, error) {
	cert, err := parsePair(certPEM, keyPEM, domain)
	if err != nil {
		return nil, err
	}
	return cert, checkChain(cert)
}

// MendAccount looks at the account of a domain at the first CA, which is reached by
// transport.
func (m *Manager) MendAccount(ctx context.Context, domain string, transport http.RoundTripper) error {
	a := m.get(domain).authorities[0]
	a.http, a.client = &http.Client{Transport: transport}, &client{log: zap.NewNop()}
	return a.mendAccount(ctx)
}

// MostReaders is how many handshakes wait for the storage at a time.
const MostReaders = mostReaders

// Readers returns how many do.
func (m *Manager) Readers() int { return len(m.readers) }
