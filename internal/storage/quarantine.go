package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/durable"
	"wellkey/internal/storage/tree"
)

// A Kind is what an item in quarantine was for: a label of
// wellkey_storage_quarantined_total.
type Kind string

// All kinds.
const (
	KindCertificate Kind = "certificate"
	KindKey         Kind = "key"
	KindMetadata    Kind = "metadata"
	KindAccount     Kind = "account"
	KindLock        Kind = "lock"
	KindState       Kind = "state"
	KindOther       Kind = "other"
)

var kinds = []Kind{KindCertificate, KindKey, KindMetadata, KindAccount, KindLock, KindState, KindOther}

// fixDamage is what to do where a stored item was damaged.
const fixDamage = "Nothing now: it is made again. If it comes again, look at the disk, and for what else writes there."

// maxQuarantined is how many items stay in quarantine: enough to look into what
// happened, few enough for a small disk. The oldest leave.
const maxQuarantined = 100

// quarantineTime sorts by name as by time, and is a file name everywhere.
const quarantineTime = "20060102T150405.000000000Z"

// Quarantine moves key, with all below it, to quarantine/<UTC time>/<key>,
// durably, and logs why. The newest 100 such items are kept. A key that is not
// there is no error: somebody else has moved it.
func (d *Directory) Quarantine(ctx context.Context, key, reason string) error {
	if _, err := d.file(key); err != nil {
		return err
	}
	err := try(ctx, d, fmt.Sprintf("moving %q to quarantine", key), func(context.Context) error {
		return d.quarantine(tree.Trim(key), reason)
	})
	if err != nil {
		return d.explain(err)
	}
	return nil
}

// quarantine is Quarantine for those who wait for files already.
func (d *Directory) quarantine(key, reason string) error {
	from := d.under(key)
	info, err := os.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kind := kindOf(key, info.IsDir())
	now := time.Now().UTC().Format(quarantineTime)
	to := path.Join("quarantine", now, key)
	dir := filepath.Dir(d.under(to))
	err = durable.MkdirAll(dir, 0o700)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) {
		// The quarantine itself is a file. It makes way, too.
		if err = durable.Rename(d.under("quarantine"), d.under("quarantine."+now)); err == nil {
			err = durable.MkdirAll(dir, 0o700)
		}
	}
	if err != nil {
		return err
	}
	if err := durable.Rename(from, d.under(to)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	d.metrics.quarantined.WithLabelValues(string(kind)).Inc()
	d.log.Warn("moved a damaged item to quarantine",
		zap.String("key", key), zap.String("kind", string(kind)), zap.String("reason", reason), zap.String("moved_to", d.under(to)), zap.String("fix", fixDamage))
	return d.prune()
}

// prune deletes the oldest items of the quarantine beyond maxQuarantined.
func (d *Directory) prune() error {
	dir := d.under("quarantine")
	entries, err := os.ReadDir(dir) // sorted by name, that is by time
	if err != nil || len(entries) <= maxQuarantined {
		return err
	}
	for _, entry := range entries[:len(entries)-maxQuarantined] {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	d.log.Warn("deleted the oldest items in quarantine", zap.Int("kept", maxQuarantined), zap.Int("deleted", len(entries)-maxQuarantined))
	return nil
}

// kindOf tells what key is for, by the layout of certmagic and our own.
func kindOf(key string, dir bool) Kind {
	top, _, _ := strings.Cut(key, "/")
	switch top {
	case "locks":
		return KindLock
	case "acme":
		return KindAccount
	case "certificates":
		switch ext := path.Ext(key); {
		case dir || ext == ".crt":
			return KindCertificate
		case ext == ".key":
			return KindKey
		case ext == ".json":
			return KindMetadata
		}
		return KindOther
	}
	if path.Ext(key) == ".json" || top == "registrations" {
		return KindState
	}
	return KindOther
}

// Quarantine moves key, with all below it, to quarantine/<UTC time>/<key>, as
// Directory does, sealed values as they are.
func (s *Store) Quarantine(ctx context.Context, key, reason string) error {
	if d, ok := s.backend.(*Directory); ok {
		return d.Quarantine(ctx, key, reason)
	}
	key, err := tree.Item(key)
	if err != nil {
		return err
	}
	keys, err := s.backend.List(ctx, key, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	to := path.Join("quarantine", time.Now().UTC().Format(quarantineTime))
	dir := true
	for _, item := range append(keys, key) {
		value, err := s.backend.Load(ctx, item)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a directory
		}
		if err == nil {
			err = s.backend.Store(ctx, path.Join(to, item), value)
		}
		if err != nil {
			return err
		}
		dir = dir && item != key
	}
	if err := s.Delete(ctx, key); err != nil {
		return err
	}
	kind := kindOf(key, dir)
	s.metrics.quarantined.WithLabelValues(string(kind)).Inc()
	s.log.Warn("moved a damaged item to quarantine",
		zap.String("key", key), zap.String("kind", string(kind)), zap.String("reason", reason), zap.String("moved_to", to), zap.String("fix", fixDamage))
	return s.pruneQuarantine(ctx)
}

// pruneQuarantine deletes the oldest items of the quarantine beyond
// maxQuarantined.
func (s *Store) pruneQuarantine(ctx context.Context) error {
	entries, err := s.backend.List(ctx, "quarantine", false)
	if err != nil || len(entries) <= maxQuarantined {
		return err
	}
	slices.Sort(entries) // by time
	for _, entry := range entries[:len(entries)-maxQuarantined] {
		if err := s.backend.Delete(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}
