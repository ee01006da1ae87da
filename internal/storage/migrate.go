package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// A Migration is what Migrate did.
type Migration struct {
	Copied int      // items written, and read back
	Same   int      // items that were there already
	Newer  []string // items that are other ones there, and newer: nothing was written because of them
}

// migrateLock is the name of the lock that a migration takes in both stores.
const migrateLock = "migrate"

// staysBehind reports whether an item is not copied: locks are of processes that
// hold them there, the quarantine may be damaged in every way, and the word on the
// sealing key is the other store's own.
func staysBehind(key string) bool {
	top, _, _ := strings.Cut(key, "/")
	switch top {
	case "locks", "quarantine", "probe", "sealed":
		return true
	}
	return strings.HasPrefix(top, "quarantine.")
}

// Migrate copies all state from one store to another, and reads each item back to
// compare it. It may be run again after it was broken off, and goes on. Items that
// are other ones at to, and newer, keep it from writing anything, unless overwrite
// is set. Secrets are sealed as to seals them.
func Migrate(ctx context.Context, from, to *Store, overwrite bool) (m Migration, err error) {
	for _, s := range []*Store{from, to} {
		guarded, release, err := s.Guard(ctx, migrateLock)
		if err != nil {
			return m, fmt.Errorf("keeping other migrations away: %w", err)
		}
		defer func() { _ = release(context.WithoutCancel(ctx)) }() // it lapses, too
		if s == to {
			ctx = guarded
		}
	}
	keys, err := from.items(ctx)
	if err != nil {
		return m, err
	}
	var missing []string
	for _, key := range keys {
		same, newer, err := compareItem(ctx, from, to, key)
		switch {
		case err != nil:
			return m, err
		case same:
			m.Same++
		case newer && !overwrite:
			m.Newer = append(m.Newer, key)
		default:
			missing = append(missing, key)
		}
	}
	if len(m.Newer) > 0 {
		return m, nil
	}
	for _, key := range missing {
		value, err := from.Load(ctx, key)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err == nil {
			err = to.Store(ctx, key, value)
		}
		if err != nil {
			return m, fmt.Errorf("copying %q: %w", key, err)
		}
		got, err := to.Load(ctx, key)
		if err != nil {
			return m, fmt.Errorf("reading %q back: %w", key, err)
		}
		if !bytes.Equal(got, value) {
			return m, fmt.Errorf("reading %q back: %s gives other bytes than were written", key, to)
		}
		m.Copied++
	}
	return m, nil
}

// items returns the names of all items that are to be copied.
func (s *Store) items(ctx context.Context) ([]string, error) {
	all, err := s.List(ctx, "", true)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var items []string
	for _, key := range all {
		if staysBehind(key) {
			continue
		}
		info, err := s.Stat(ctx, key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err == nil && info.IsTerminal {
			items = append(items, key)
		}
	}
	return items, nil
}

// compareItem tells how an item is at to.
func compareItem(ctx context.Context, from, to *Store, key string) (same, newer bool, err error) {
	theirs, err := to.Load(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	ours, err := from.Load(ctx, key)
	if err != nil {
		return false, false, err
	}
	if bytes.Equal(ours, theirs) {
		return true, false, nil
	}
	was, err := from.Stat(ctx, key)
	if err != nil {
		return false, false, err
	}
	is, err := to.Stat(ctx, key)
	return false, is.Modified.After(was.Modified), err
}
