package certs

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// Explain puts err into words as a Manager with or without an EAB would.
func Explain(err error, eab *EAB) Failure {
	m := &Manager{cfg: Config{EAB: eab, Now: time.Now}}
	return m.explain(err)
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
	metrics, _ := newMetrics(nil, "", nil)
	now := time.Now()
	m := &Manager{cfg: Config{Domain: "pause.test", Now: func() time.Time { return now }, Storage: noStorage{}}, log: zap.NewNop(), metrics: metrics, state: state{failures: map[Reason]int{}}}
	last := m.explain(err)
	m.rec = record{Failures: inARow - 1, Last: &last, Since: now.Add(-since)}
	m.failed(context.Background(), err, retryAfter)
	return m.rec.Next.Sub(now)
}

type noStorage struct{ certmagic.Storage }

func (noStorage) Store(context.Context, string, []byte) error { return nil }

// CACounts makes m treat its CA as one with limits that last.
func (m *Manager) CACounts() { m.counts = true }

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
