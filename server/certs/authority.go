package certs

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"wellkey/internal/logtag"
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

// roles returns all roles.
func roles() []Role { return []Role{Primary, Fallback, Other} }

// A ca is what all domains share of a CA. Which one it is does not change.
type ca struct {
	role      Role
	directory Directory
	eab       *EAB   // nil = none
	issuerKey string // certmagic's name of it
	counts    bool   // it may have limits that last
	clock     *skew.Clock
	http      *http.Client  // for all that is asked there
	account   chan struct{} // holds one while somebody mends the account
	outage    outage
	orders    orders

	accountMade atomic.Int64 // Unix time in ns when the last account replaced a damaged one
	silentUntil atomic.Int64 // likewise until when it is not asked when to renew
	toldUsedUp  atomic.Int64 // likewise when it was last logged that the orders for all are used up
}

// An authority is a CA for one domain, with all that we have there for it: the
// record of orders with its budget and schedule, and what was issued. Each has its
// own, so what one of them refuses counts nothing at the other.
type authority struct {
	*ca
	m   *subject
	log *zap.Logger

	// Only a step uses these.
	client  *client // nil between the steps
	stage   *stage  // likewise
	rec     record
	opened  bool      // rec was read
	stale   bool      // rec is not stored as it is
	marked  bool      // the stored one says that an attempt is under way
	started time.Time // when rec was read
	looked  time.Time // when it was last looked at, while it was down
	lookAt  time.Time // when to look again whether it is back
	held    *kept     // the last certificate of this CA that was good; nil = none
	unsaved *resource // what is only in memory; nil = nothing
	saving  bool      // storing it failed before
	waiting Reason    // what held the last attempt back; "" = nothing

	mu    sync.Mutex // guards state
	state state
}

// state is what Status reports of an authority.
type state struct {
	attempts int
	failures map[Reason]int // nil = none
	next     time.Time
	last     *Failure  // nil after a success
	since    time.Time // of the failures in a row; zero = none
	ledger   *ledger   // nil before it was read

	validated time.Time // when the CA last reached us; zero = not known
}

func (cfg *Config) newCA(role Role, name string, eab *EAB) (*ca, error) {
	directory, err := resolveDirectory(name)
	if err != nil {
		return nil, err
	}
	if eab != nil && eab.KeyID == "" && eab.MACKey.IsZero() {
		eab = nil
	}
	if err := directory.checkEAB(role, eab); err != nil {
		return nil, err
	}
	return &ca{
		role: role, directory: directory, eab: eab,
		issuerKey: (&certmagic.ACMEIssuer{CA: directory.URL}).IssuerKey(),
		counts:    directory.production(), clock: skew.New(cfg.Now),
		http: cfg.httpClient(), account: make(chan struct{}, 1), orders: orders{make(chan struct{}, 1)},
	}, nil
}

// newCAs returns the CAs of the settings, the preferred one first.
func (cfg *Config) newCAs() ([]*ca, error) {
	primary, err := cfg.newCA(Primary, cfg.Directory, cfg.EAB)
	if err != nil {
		return nil, err
	}
	if cfg.Fallback == nil {
		return []*ca{primary}, nil
	}
	fallback, err := cfg.newCA(Fallback, cfg.Fallback.Directory, cfg.Fallback.EAB)
	if err != nil {
		return nil, fmt.Errorf("acme_fallback_directory: %w", err)
	}
	if fallback.issuerKey == primary.issuerKey {
		return nil, fmt.Errorf("acme_fallback_directory is the same CA as acme_directory, %q, which helps nobody when that one fails: name another", primary.directory.Name)
	}
	return []*ca{primary, fallback}, nil
}

// newAuthorities returns what m has with each CA.
func (m *subject) newAuthorities(cas []*ca) (all []*authority) {
	for _, ca := range cas {
		a := &authority{ca: ca, m: m, log: m.log}
		if len(cas) > 1 { // where there is one, nobody asks which
			a.log = logtag.With(m.log, zap.String("authority", string(ca.role)))
		}
		all = append(all, a)
	}
	return all
}

func (a *authority) update(f func(*state)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.state)
}
