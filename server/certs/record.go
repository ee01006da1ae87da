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

	Next     time.Time `json:"next_attempt,omitzero"`
	Earliest time.Time `json:"earliest,omitzero"` // the CA said not to come before
	Failures int       `json:"failures,omitempty"`
	Since    time.Time `json:"since,omitzero"`   // the first of those with the reason of the last
	Absent   bool      `json:"absent,omitempty"` // the CA did not even give its directory
	Last     *Failure  `json:"last_failure,omitempty"`

	// Settings is a digest of those that the CA sees. Once they are others, what
	// failed before may go well, so it is tried at once.
	Settings string `json:"settings"`

	Validated   time.Time `json:"validated_at,omitzero"` // the CA last reached us
	AccountMade time.Time `json:"account_made,omitzero"` // the last account that replaced a damaged one
	Unlinked    bool      `json:"unlinked,omitempty"`    // the CA refuses to hear what a renewal replaces

	Running bool `json:"running"` // no clean stop yet
	Unclean int  `json:"unclean,omitempty"`
}

func (m *Manager) recordKey() string {
	return path.Join("issuance", m.issuerKey, m.cfg.Domain+".json")
}

// open reads the record, once. Where neither copy can be read for what it says,
// everything counts as spent.
func (m *Manager) open(ctx context.Context) error {
	if m.opened {
		return nil
	}
	rec, err := m.readRecord(ctx)
	if err != nil {
		return err
	}
	if rec.Running {
		rec.Unclean++
	} else {
		rec.Unclean = 0
	}
	rec.Running = true
	if settings := m.settingsDigest(); rec.Settings != settings {
		rec.Settings = settings
		rec.Failures, rec.Next, rec.Last, rec.Since = 0, time.Time{}, nil, time.Time{}
	}
	m.rec, m.opened, m.started = rec, true, m.cfg.Now()
	m.update(func(s *state) { s.last = rec.Last })
	m.keepRecord(ctx)
	return nil
}

// settingsDigest tells settings apart; the MAC key in it is long and random, so
// 8 bytes of a digest give nothing away.
func (m *Manager) settingsDigest() string {
	parts := []string{m.directory.URL, m.cfg.Email, m.cfg.Profile, "", ""}
	if m.cfg.EAB != nil {
		parts[3], parts[4] = m.cfg.EAB.KeyID, m.cfg.EAB.MACKey.Reveal()
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:8])
}

func (m *Manager) readRecord(ctx context.Context) (record, error) {
	fresh := record{Domain: m.cfg.Domain}
	damaged := false
	for _, key := range []string{m.recordKey(), m.recordKey() + ".bak"} {
		data, err := m.fetch(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fresh, err
		}
		var rec record
		if err = json.Unmarshal(data, &rec); err == nil && rec.Domain == m.cfg.Domain {
			return rec, nil
		}
		damaged = true
		if err := m.quarantine(ctx, key, "the record of orders is damaged"); err != nil {
			return fresh, err
		}
	}
	if damaged {
		m.log.Warn("record of orders is damaged, so the issuance budget counts as spent for a day", zap.String("key", m.recordKey()))
		fresh.Ledger.Damaged = true
	}
	return fresh, nil
}

// writeRecord stores the record durably. The copy comes first, so it is never
// behind.
func (m *Manager) writeRecord(ctx context.Context) error {
	m.publish()
	data, err := json.Marshal(m.rec)
	if err != nil {
		return fmt.Errorf("encoding the record of orders: %w", err)
	}
	for _, key := range []string{m.recordKey() + ".bak", m.recordKey()} {
		if err := m.cfg.Storage.Store(ctx, key, data); err != nil {
			m.stale = true
			return fmt.Errorf("storing the record of orders: %w", err)
		}
	}
	m.stale = false
	return nil
}

// keepRecord stores the record where nothing depends on it: what cannot be
// stored now is stored with the next change, or a minute later.
func (m *Manager) keepRecord(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if err := m.writeRecord(ctx); err != nil {
		m.log.Debug("keeping the record of orders in memory", zap.Error(err))
	}
}

// publish shows the record to Status.
func (m *Manager) publish() {
	copied, validated := m.rec.Ledger, m.rec.Validated
	m.update(func(s *state) { s.ledger, s.validated = &copied, validated })
}

// closeRecord notes that we stopped by ourselves.
func (m *Manager) closeRecord(ctx context.Context) {
	if m.opened {
		m.rec.Running, m.rec.Unclean = false, 0
		m.keepRecord(ctx)
	}
}
