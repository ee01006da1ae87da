package certs

import (
	"fmt"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"wellkey/internal/skew"
)

// A Role is the part that a CA plays here: one of a closed set.
type Role string

// The roles.
const (
	Primary  Role = "primary"  // asked first, always
	Fallback Role = "fallback" // asked where the primary fails for long
	Other    Role = "other"    // of a certificate only: a CA that the settings do not name any more
)

// Roles returns all roles.
func Roles() []Role { return []Role{Primary, Fallback, Other} }

// An authority is a CA with all that we have with it: the account, the record of
// orders with its budget and schedule, and what it issued. Each has its own, so
// what one of them refuses counts nothing at the other.
type authority struct {
	m         *Manager
	role      Role
	directory Directory
	eab       *EAB // nil = none
	log       *zap.Logger
	issuerKey string // certmagic's name of the CA
	stage     *stage
	counts    bool // it may have limits that last
	clock     *skew.Clock

	// Only Run uses these.
	client  *client
	rec     record
	opened  bool      // rec was read
	stale   bool      // rec is not stored as it is
	started time.Time // when rec was read
	looked  time.Time // when it was last looked at, while it was down
	lookAt  time.Time // when to look again whether it is back
	held    *resource // the last certificate of this CA that was good; nil = none
	unsaved *resource // what is only in memory; nil = nothing
	saving  bool      // storing it failed before
	waiting Reason    // what held the last attempt back; "" = nothing

	mu    sync.Mutex // guards state
	state state
}

// state is what Status reports of an authority.
type state struct {
	attempts int
	failures map[Reason]int
	next     time.Time
	last     *Failure  // nil after a success
	since    time.Time // of the failures in a row; zero = none
	ledger   *ledger   // nil before it was read

	validated time.Time // when the CA last reached us; zero = not known
}

func (m *Manager) newAuthority(role Role, name string, eab *EAB) (*authority, error) {
	directory, err := ResolveDirectory(name)
	if err != nil {
		return nil, err
	}
	if eab != nil && eab.KeyID == "" && eab.MACKey.IsZero() {
		eab = nil
	}
	if err := directory.checkEAB(role, eab); err != nil {
		return nil, err
	}
	a := &authority{m: m, role: role, directory: directory, eab: eab, log: m.log, state: state{failures: map[Reason]int{}}}
	a.issuerKey = (&certmagic.ACMEIssuer{CA: directory.URL}).IssuerKey()
	a.stage, a.counts, a.clock = newStage(m.cfg.Storage, m.cfg.Domain), directory.production(), skew.New(m.cfg.Now)
	return a, nil
}

// newAuthorities returns the CAs of the settings, the preferred one first.
func (m *Manager) newAuthorities() ([]*authority, error) {
	primary, err := m.newAuthority(Primary, m.cfg.Directory, m.cfg.EAB)
	if err != nil {
		return nil, err
	}
	if m.cfg.Fallback == nil {
		return []*authority{primary}, nil
	}
	fallback, err := m.newAuthority(Fallback, m.cfg.Fallback.Directory, m.cfg.Fallback.EAB)
	if err != nil {
		return nil, fmt.Errorf("acme_fallback_directory: %w", err)
	}
	if fallback.issuerKey == primary.issuerKey {
		return nil, fmt.Errorf("acme_fallback_directory is the same CA as acme_directory, %q, which helps nobody when that one fails: name another", primary.directory.Name)
	}
	for _, a := range []*authority{primary, fallback} { // where there is one, nobody asks which
		a.log = m.log.With(zap.String("authority", string(a.role)))
	}
	return []*authority{primary, fallback}, nil
}

func (a *authority) update(f func(*state)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.state)
}
