package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

const (
	// clockTolerance is how far our clock may be from that of others.
	clockTolerance = 5 * time.Minute

	// clockAgain is how often to look whether the clock is right.
	clockAgain = 10 * time.Minute

	// overdue is for how long a CA may not notice that the certificate of its own
	// API has expired.
	overdue = 7 * day
)

// checkClock returns an error where our clock disagrees with a CA's, or with that
// of somebody else whom we talk to: what we would decide by it, and write down,
// would be wrong.
func (m *subject) checkClock() error {
	offset, known := m.all.clockOffset()
	if !known || offset.Abs() <= clockTolerance {
		return nil
	}
	return m.clockHold(fmt.Sprintf("the clock of this host differs by %s from that of the CA or of Tesla", offset.Round(time.Second)))
}

func (m *subject) clockHold(text string) error {
	return &holdError{ReasonClock, m.cfg.Now().Add(clockAgain), text, false}
}

// clockOffset returns by how much our clock is ahead of others'; the largest one
// where they differ.
func (m *Manager) clockOffset() (offset time.Duration, known bool) {
	var clocks []func() (time.Duration, bool)
	for _, ca := range m.cas {
		clocks = append(clocks, ca.clock.Ahead)
	}
	if m.cfg.ClockOffset != nil {
		clocks = append(clocks, m.cfg.ClockOffset)
	}
	for _, ahead := range clocks {
		if other, ok := ahead(); ok && (!known || other.Abs() > offset.Abs()) {
			offset, known = other, true
		}
	}
	return offset, known
}

// clockByTLS returns an error where a TLS handshake failed because the CA's own
// certificate is out of date by our clock, and that is the likelier culprit: a
// machine without a battery for its clock starts years behind, and then nobody's
// Date can be read. A CA that forgot to renew its certificate is found out within a
// week; and if somebody else agrees with our clock, it is right.
func (a *authority) clockByTLS(err error) error {
	invalid := x509.CertificateInvalidError{}
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return nil
	}
	if offset, known := a.m.all.clockOffset(); known && offset.Abs() <= clockTolerance {
		return nil
	}
	now, leaf := a.m.cfg.Now(), invalid.Cert
	switch {
	case now.Before(leaf.NotBefore):
		a.clock.NoteTime(leaf.NotBefore) // it is at least so late
	case now.After(leaf.NotAfter.Add(overdue)):
		a.clock.NoteTime(leaf.NotAfter) // it is at most so late
	default:
		return nil
	}
	return a.m.clockHold(fmt.Sprintf("the clock of this host says %s, but the certificate of the CA's own API is for %s to %s",
		now.UTC().Format(time.RFC3339), leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339)))
}
