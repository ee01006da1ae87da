package certs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"
)

// A record is what a Manager must know after a restart: what was ordered, and
// when the CA may be asked again. It is stored twice, so that damage to one copy
// costs nothing.
type record struct {
	Domain string `json:"domain"` // tells a record from other JSON
	Ledger ledger `json:"ledger"`

	Next     time.Time   `json:"next_attempt,omitzero"`
	Earliest time.Time   `json:"earliest,omitzero"` // the CA said not to come before
	Failures int         `json:"failures,omitempty"`
	Trouble  time.Time   `json:"trouble,omitzero"` // since the last success: when the first attempt failed, or was held back
	Since    time.Time   `json:"since,omitzero"`   // the first failure with the reason of the last, or in a row that only a person can end
	Tries    []time.Time `json:"tries,omitempty"`  // the attempts of the last week since the trouble began
	Down     bool        `json:"absent,omitempty"` // looking at the CA tells whether it is back; see look
	Last     *Failure    `json:"last_failure,omitempty"`
	Why      *Failure    `json:"why_fallback,omitempty"` // only the primary's: why the fallback gave what is served

	// Challenge is by which to prove the domain the next time; see challenge.
	Challenge string `json:"challenge,omitempty"`

	// Settings is a digest of those that the CA sees. Once they are others, what
	// failed before may go well, so it is tried at once.
	Settings string `json:"settings"`

	Validated   time.Time `json:"validated_at,omitzero"` // the CA last reached us
	AccountMade time.Time `json:"account_made,omitzero"` // the last account that replaced a damaged one
	Unlinked    bool      `json:"unlinked,omitempty"`    // the CA refuses to hear what a renewal replaces

	Running bool `json:"running"`           // no clean stop yet; of many domains, an attempt is under way
	Unclean int  `json:"unclean,omitempty"` // starts in a row that found it so
}

func (a *authority) recordKey() string {
	return path.Join("issuance", a.issuerKey, a.m.domain+".json")
}

// open reads the record, once. Where neither copy can be read for what it says,
// everything counts as spent.
func (a *authority) open(ctx context.Context) error {
	if a.opened {
		return nil
	}
	rec, whole, err := a.readRecord(ctx)
	if err != nil {
		return err
	}
	a.takeRecord(rec)
	a.marked = a.rec.Running
	switch {
	case a.m.cfg.Shared: // whose unclean stop it was, nobody knows
	case a.rec.Running:
		a.rec.Unclean++
	default:
		a.rec.Unclean = 0
	}
	a.rec.Running = a.m.marks()
	a.opened, a.started = true, a.m.cfg.Now()
	a.update(func(s *state) { s.last = a.rec.Last })
	if a.role == Primary {
		a.showWhy()
	}
	if a.rec.Running || !whole {
		a.keepRecord(ctx)
	} else {
		a.publish()
	}
	return nil
}

// fewDomains is for how many each start and stop is noted in the record of orders,
// so that a crash loop is noticed wherever it ends. With more, that would be
// thousands of writes at every restart, and only attempts are noted.
const fewDomains = 64

// marks reports whether starts and stops are noted: not where replicas share the
// record, since nobody would know whose they were.
func (m *subject) marks() bool { return !m.cfg.Shared && m.all.count.Load() <= fewDomains }

// takeRecord makes rec ours. What failed with other settings does not count.
func (a *authority) takeRecord(rec record) {
	if settings := a.settingsDigest(); rec.Settings != settings {
		rec.Settings = settings
		rec.Failures, rec.Next, rec.Last, rec.Since, rec.Trouble, rec.Tries = 0, time.Time{}, nil, time.Time{}, time.Time{}, nil
	}
	a.rec = rec
}

// settingsDigest tells settings apart; the MAC key in it is long and random, so
// 8 bytes of a digest give nothing away.
func (a *authority) settingsDigest() string {
	parts := []string{a.directory.URL, a.m.cfg.Email, a.m.cfg.Profile, "", ""}
	if a.eab != nil {
		parts[3], parts[4] = a.eab.KeyID, a.eab.MACKey.Reveal()
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:8])
}

// readRecord returns what is stored, and whether it is stored as it should be.
func (a *authority) readRecord(ctx context.Context) (_ record, whole bool, err error) {
	fresh := record{Domain: a.m.domain}
	damaged := false
	for i, key := range []string{a.recordKey(), a.recordKey() + ".bak"} {
		data, err := a.m.fetch(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fresh, false, err
		}
		if rec, err := decodeRecord(data, a.m.domain); err == nil {
			return rec, i == 0, nil
		}
		damaged = true
		if err := a.m.quarantine(ctx, key, "the record of orders is damaged"); err != nil {
			return fresh, false, err
		}
	}
	if damaged {
		a.log.Warn("record of orders is damaged, so the issuance budget counts as spent for a day", zap.String("key", a.recordKey()),
			zap.String("fix", "Nothing if the certificate is good: it is renewed when the day is over. If you need it sooner, run: wellkey renew --now."))
		fresh.Ledger.Damaged = true
	}
	return fresh, false, nil
}

// manyFailures is as many as make no difference any more.
const manyFailures = 1 << 20

// decodeRecord reads the record of a domain. What is JSON and no such record, or
// counts what nobody can count, is damaged.
func decodeRecord(data []byte, domain string) (record, error) {
	var rec record
	if err := json.Unmarshal(data, &rec); err != nil {
		return record{}, err
	}
	if rec.Domain != domain {
		return record{}, errors.New("it is of another domain")
	}
	if rec.Failures < 0 || rec.Failures > manyFailures || rec.Unclean < 0 || rec.Unclean > manyFailures {
		return record{}, errors.New("it counts what nobody can count")
	}
	for _, failure := range []*Failure{rec.Last, rec.Why} {
		if failure != nil && !failure.Reason.known() {
			failure.Reason = ReasonOther // as a newer version may have written, before it was put back
		}
	}
	return rec, nil
}

// writeRecord stores the record durably. The copy comes first, so it is never
// behind.
func (a *authority) writeRecord(ctx context.Context) error {
	a.publish()
	data, err := json.Marshal(a.rec)
	if err != nil {
		return fmt.Errorf("encoding the record of orders: %w", err)
	}
	for _, key := range []string{a.recordKey() + ".bak", a.recordKey()} {
		if err := a.m.cfg.Storage.Store(ctx, key, data); err != nil {
			a.stale = true
			return fmt.Errorf("storing the record of orders: %w", err)
		}
	}
	a.stale, a.marked = false, a.rec.Running
	return nil
}

// keepRecord stores the record where nothing depends on it: what cannot be
// stored now is stored with the next change, or a minute later.
func (a *authority) keepRecord(ctx context.Context) {
	if !a.opened || a.m.onlyLooks() {
		return // what is stored is not known, so nothing may replace it
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := a.writeRecord(ctx); err != nil {
		a.log.Debug("keeping the record of orders in memory", zap.Error(err))
	}
}

// publish shows the record to Status.
func (a *authority) publish() {
	copied := a.rec.Ledger
	a.update(func(s *state) {
		s.ledger, s.since, s.next, s.validated = &copied, a.rec.Trouble, a.rec.Next, a.rec.Validated
	})
}

// closeRecords notes that we stopped by ourselves, where an attempt was cut short.
// The other records are stored as they are, so that thousands of domains stop as
// quickly as one.
func (m *subject) closeRecords(ctx context.Context) {
	for _, a := range m.authorities {
		a.rec.Running, a.rec.Unclean = false, 0
		if a.marked || a.stale {
			a.keepRecord(ctx)
		}
	}
}
