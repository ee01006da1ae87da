package certs_test

import (
	"context"
	"sync/atomic"
	"testing"

	"wellkey/internal/storage"
	"wellkey/internal/testca"
)

// A countingStorage counts what is written and deleted.
type countingStorage struct {
	*storage.Directory
	changes atomic.Int64
}

func (s *countingStorage) Store(ctx context.Context, key string, value []byte) error {
	s.changes.Add(1)
	return s.Directory.Store(ctx, key, value)
}

func (s *countingStorage) Delete(ctx context.Context, key string) error {
	s.changes.Add(1)
	return s.Directory.Delete(ctx, key)
}

// TestRestartWritesNothing: with a hundred thousand domains, whatever is written of
// each at a start or a stop makes minutes of it.
func TestRestartWritesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "quiet.test", testca.Config{})
	r.start(t, r.config(t)).settleAndStop(t)
	r.relisten(t)
	cfg := r.config(t)
	store := &countingStorage{Directory: r.storage(t)}
	cfg.Storage = store
	m := r.start(t, cfg)
	m.settle(t)
	r.leaf(t, m, r.now())
	m.stop()
	if n := store.changes.Load(); n != 0 {
		t.Errorf("got %d changes of the storage in a restart with a good certificate, want none", n)
	}
}
