package certs

import (
	"crypto/x509"
	"fmt"
	"maps"
	"time"
)

// A Status says which certificate is served and how it is kept up to date.
// Times are zero where there is nothing to tell.
type Status struct {
	Source    string    `json:"source"` // "acme", "files" or "off"
	Have      bool      `json:"have"`   // a certificate is served, in date or not
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Issuer    string    `json:"issuer,omitempty"` // who signed it
	Serial    string    `json:"serial,omitempty"` // in hexadecimal
	Warning   string    `json:"warning,omitempty"`

	ReadAt time.Time `json:"read_at,omitzero"` // only for "files": when they were last read anew and found good

	// Only for "acme".
	Directory   string         `json:"directory,omitempty"` // the CA that is asked
	Renewal     time.Time      `json:"renewal,omitzero"`    // planned
	Attempts    int            `json:"attempts,omitempty"`  // since the start
	Failures    map[Reason]int `json:"failures,omitempty"`  // since the start
	NextAttempt time.Time      `json:"next_attempt,omitzero"`
	ValidatedAt time.Time      `json:"validated_at,omitzero"` // when the CA last found us from outside

	Budget      *Budget  `json:"issuance_budget,omitempty"`      // nil while not known
	ClockOffset *float64 `json:"clock_offset_seconds,omitempty"` // how far ahead our clock is; nil = not known

	LastError *Failure `json:"last_error,omitempty"` // nil after a success
}

// A Budget is how many certificates wellkey may still ask the CA for, by its own
// limits, which are below the CA's.
type Budget struct {
	Remaining  int       `json:"remaining"`
	NextRefill time.Time `json:"next_refill,omitzero"` // when it becomes more; zero = it is whole, or not known
}

// Status returns the current state.
func (m *Manager) Status() Status {
	s := m.holder.status("acme")
	if offset, known := m.clockOffset(); known {
		seconds := offset.Seconds()
		s.ClockOffset = &seconds
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Directory, s.Attempts, s.Failures = m.directory.URL, m.state.attempts, maps.Clone(m.state.failures)
	s.Renewal, s.NextAttempt, s.ValidatedAt = m.state.renewal, m.state.next, m.state.validated
	if m.state.last != nil {
		last := *m.state.last
		s.LastError = &last
	}
	if l := m.state.ledger; l != nil {
		now := m.cfg.Now()
		s.Budget = &Budget{l.remaining(now, false), l.refill(now, false)}
	}
	return s
}

func (h *holder) status(source string) Status {
	s := Status{Source: source}
	if cert := h.current.Load(); cert != nil {
		leaf := cert.Leaf
		s.Have, s.NotBefore, s.NotAfter = true, leaf.NotBefore, leaf.NotAfter
		s.Issuer, s.Serial = issuerName(leaf), serial(leaf)
	}
	return s
}

// issuerName returns who signed cert, as a browser shows it.
func issuerName(cert *x509.Certificate) string {
	if name := cert.Issuer.CommonName; name != "" {
		return name
	}
	return cert.Issuer.String()
}

func serial(cert *x509.Certificate) string { return fmt.Sprintf("%x", cert.SerialNumber) }
