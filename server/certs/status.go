package certs

import (
	"cmp"
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

	// Only for "acme". Budget and Directory are those of the first authority, and
	// LastError is the fallback's only where the first has none.
	Directory   string         `json:"directory,omitempty"` // the CA that is asked
	Renewal     time.Time      `json:"renewal,omitzero"`    // planned
	Attempts    int            `json:"attempts,omitempty"`  // since the start
	Failures    map[Reason]int `json:"failures,omitempty"`  // since the start
	NextAttempt time.Time      `json:"next_attempt,omitzero"`
	ValidatedAt time.Time      `json:"validated_at,omitzero"` // when the CA last found us from outside

	Budget      *Budget  `json:"issuance_budget,omitempty"`      // nil while not known
	ClockOffset *float64 `json:"clock_offset_seconds,omitempty"` // how far ahead our clock is; nil = not known

	LastError *Failure `json:"last_error,omitempty"` // nil after a success

	Role        Role        `json:"authority,omitempty"`    // of the CA that issued what is served
	WhyFallback *Failure    `json:"why_fallback,omitempty"` // of the first authority, where that is the fallback
	FallbackAt  time.Time   `json:"fallback_at,omitzero"`   // when the fallback is asked, if the first goes on failing
	Authorities []Authority `json:"authorities,omitempty"`  // in their order; nil where there is no fallback
}

// An Authority says how it stands with one CA.
type Authority struct {
	Role         Role           `json:"role"`
	Name         string         `json:"name"` // as the operator writes it, or the host of the URL
	Directory    string         `json:"directory"`
	Attempts     int            `json:"attempts"`               // since the start
	Failures     map[Reason]int `json:"failures,omitempty"`     // since the start
	FailingSince time.Time      `json:"failing_since,omitzero"` // zero = it does not fail
	NextAttempt  time.Time      `json:"next_attempt,omitzero"`  // by its schedule, after a failure; zero = none is put off
	Budget       *Budget        `json:"issuance_budget,omitempty"`
	LastError    *Failure       `json:"last_error,omitempty"`
	ValidatedAt  time.Time      `json:"validated_at,omitzero"` // when it last reached us
}

// A Budget is how many certificates wellkey may still ask the CA for, by its own
// limits, which are below the CA's.
type Budget struct {
	Remaining  int       `json:"remaining"`
	NextRefill time.Time `json:"next_refill,omitzero"` // when it becomes more; zero = it is whole, or not known
}

func (m *subject) status() Status {
	s := m.moments()
	if offset, known := m.all.clockOffset(); known {
		seconds := offset.Seconds()
		s.ClockOffset = &seconds
	}
	s.Failures = map[Reason]int{}
	for _, a := range m.authorities {
		one := a.status()
		s.Authorities = append(s.Authorities, one)
		s.Attempts += one.Attempts
		for reason, n := range one.Failures {
			s.Failures[reason] += n
		}
		if one.ValidatedAt.After(s.ValidatedAt) {
			s.ValidatedAt = one.ValidatedAt
		}
		s.LastError = cmp.Or(s.LastError, one.LastError)
	}
	s.Directory, s.Budget = s.Authorities[0].Directory, s.Authorities[0].Budget
	if len(m.authorities) == 1 {
		s.Authorities = nil
	}
	return s
}

// moments is the part of the status that concerns the certificate itself.
func (m *subject) moments() Status {
	s := Status{Source: "acme"}
	if c := m.served.Load(); c != nil {
		s.Have, s.NotBefore, s.NotAfter, s.Issuer, s.Serial = true, c.notBefore, c.notAfter, c.issuer, c.serial
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Role, s.Renewal, s.NextAttempt = m.shown.role, m.shown.renewal, m.shown.next
	s.WhyFallback, s.FallbackAt = clone(m.shown.why), m.shown.turn
	return s
}

// statuses calls yield for the moments of each domain, until it returns false.
func (m *Manager) statuses(yield func(domain string, s Status) bool) {
	for domain := range m.all {
		if !yield(domain.domain, domain.moments()) {
			return
		}
	}
}

// servedBy returns the role of the CA that issued what is served; "" = nothing is.
func (m *subject) servedBy() Role {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.shown.role
}

// budgetLeft returns how many certificates may be asked for now, if it is known.
func (a *authority) budgetLeft() (left int, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.ledger == nil {
		return 0, false
	}
	return a.state.ledger.remaining(a.m.cfg.Now(), false), true
}

func (a *authority) status() Authority {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Authority{
		Role: a.role, Name: a.directory.Name, Directory: a.directory.URL,
		Attempts: a.state.attempts, Failures: maps.Clone(a.state.failures),
		FailingSince: a.state.since, NextAttempt: a.state.next, ValidatedAt: a.state.validated, LastError: clone(a.state.last),
	}
	if l := a.state.ledger; l != nil {
		now := a.m.cfg.Now()
		s.Budget = &Budget{l.remaining(now, false), l.refill(now, false)}
	}
	return s
}

func clone(f *Failure) *Failure {
	if f == nil {
		return nil
	}
	copied := *f
	return &copied
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
