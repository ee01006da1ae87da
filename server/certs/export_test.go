package certs

import (
	"crypto/x509"
	"time"

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
	metrics, _ := newMetrics(nil, "", nil)
	now := time.Now()
	m := &Manager{cfg: Config{Now: func() time.Time { return now }}, log: zap.NewNop(), metrics: metrics, state: state{failures: map[Reason]int{}}}
	return m.failed(err, inARow, retryAfter).Sub(now)
}

// RenewalTime is when a certificate is renewed that the CA suggests to renew at
// suggested, which may be zero.
func RenewalTime(leaf *x509.Certificate, suggested time.Time) time.Time {
	return renewalTime(leaf, acme.RenewalInfo{SelectedTime: suggested})
}
