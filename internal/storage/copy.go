package storage

import (
	"context"
	"io/fs"
	"strings"

	"go.uber.org/zap"

	"wellkey/internal/storage/lease"
	"wellkey/internal/storage/tree"
	"wellkey/internal/storage/trouble"
)

// copiedPrefixes are what a start needs to serve, and to know what was so, while
// the shared store is down. The record of orders is not among them: nothing is
// ordered by an old one.
var copiedPrefixes = []string{"certificates/", "registrations/", "accepted/"}

func isCopied(key string) bool {
	key = tree.Trim(key) + "/"
	for _, prefix := range copiedPrefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// keepCopy keeps a value as it is in the store, sealed if it is sealed there.
func (s *Store) keepCopy(ctx context.Context, key string, value []byte) {
	if s.copied == nil || !isCopied(key) {
		return
	}
	if err := s.copied.Store(ctx, key, value); err != nil && ctx.Err() == nil {
		s.log.Warn("local copy not written", zap.String("key", key), zap.Error(err))
	}
}

// dropCopy deletes a value that was deleted in the store. One that is only gone
// there, as after a loss of the store, stays.
func (s *Store) dropCopy(ctx context.Context, key string) {
	if s.copied == nil || !isCopied(key) {
		return
	}
	if err := s.copied.Delete(ctx, key); err != nil && ctx.Err() == nil {
		s.log.Warn("local copy not deleted", zap.String("key", key), zap.Error(err))
	}
}

// mayUseCopy reports whether a call that ended in err may be answered from the
// copy: because the store is down, and not where work is done under its lock,
// which must know what is true.
func (s *Store) mayUseCopy(ctx context.Context, key string, err error) bool {
	if _, down := trouble.Of(err); !down || s.copied == nil || !isCopied(key) || ctx.Err() != nil {
		return false
	}
	_, locked := lease.FromContext(ctx)
	return !locked
}

// LoadCopy returns what the local copy has of key, whatever the shared store has, or
// an error that is fs.ErrNotExist.
func (s *Store) LoadCopy(ctx context.Context, key string) ([]byte, error) {
	if s.copied == nil || !isCopied(key) {
		return nil, fs.ErrNotExist
	}
	value, err := s.copied.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.unseal(key, value)
}
