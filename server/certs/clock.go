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
)

// checkClock returns an error where our clock disagrees with a CA's, or with that
// of somebody else whom we talk to: what we would decide by it, and write down,
// would be wrong.
func (m *Manager) checkClock() error {
	offset, known := m.clockOffset()
	if !known || offset.Abs() <= clockTolerance {
		return nil
	}
	return m.clockHold(fmt.Sprintf("the clock of this host differs by %s from that of the CA or of Tesla", offset.Round(time.Second)))
}

func (m *Manager) clockHold(text string) error {
	return &holdError{ReasonClock, m.cfg.Now().Add(clockAgain), text}
}

// clockOffset returns by how much our clock is ahead of others'; the largest one
// where they differ.
func (m *Manager) clockOffset() (offset time.Duration, known bool) {
	var clocks []func() (time.Duration, bool)
	for _, a := range m.authorities {
		clocks = append(clocks, a.clock.Ahead)
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

// clockBehind returns an error where a TLS handshake failed because the CA's own
// certificate begins in what our clock calls the future: a machine without a
// battery for its clock starts years behind, and then nobody's Date can be read.
func (m *Manager) clockBehind(err error) error {
	invalid := x509.CertificateInvalidError{}
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return nil
	}
	if begins := invalid.Cert.NotBefore; m.cfg.Now().Before(begins) {
		return m.clockHold(fmt.Sprintf("the clock of this host says %s, and the certificate of the CA's own API begins at %s",
			m.cfg.Now().UTC().Format(time.RFC3339), begins.UTC().Format(time.RFC3339)))
	}
	return nil
}
