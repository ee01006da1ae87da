package certs

import (
	"context"
	"io/fs"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
)

// A stage is the storage that certmagic works on. Certificates stay in its
// memory: certmagic renews what we give it, and what it obtains is checked
// before it is stored. All else, accounts and challenges, is in our storage.
//
// The lock on an order is ours, and taken around the whole attempt, so
// certmagic's own has nothing to do.
type stage struct {
	certmagic.Storage
	issueLock string

	mu     sync.Mutex // guards assets
	assets map[string][]byte
}

func newStage(storage certmagic.Storage, domain string) *stage {
	return &stage{Storage: storage, issueLock: issueLock(domain), assets: map[string][]byte{}}
}

// issueLock is the name of certmagic's lock on an order, which replicas of any
// version share.
func issueLock(domain string) string { return "issue_cert_" + domain }

func staged(key string) bool { return strings.HasPrefix(key, "certificates/") }

// set replaces what the stage holds.
func (s *stage) set(assets map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assets = assets
}

// Lock implements certmagic.Locker.
func (s *stage) Lock(ctx context.Context, name string) error {
	if name == s.issueLock {
		return nil
	}
	return s.Storage.Lock(ctx, name)
}

// Unlock implements certmagic.Locker.
func (s *stage) Unlock(ctx context.Context, name string) error {
	if name == s.issueLock {
		return nil
	}
	return s.Storage.Unlock(ctx, name)
}

// Store implements certmagic.Storage.
func (s *stage) Store(ctx context.Context, key string, value []byte) error {
	if !staged(key) {
		return s.Storage.Store(ctx, key, value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assets[key] = value
	return nil
}

// Load implements certmagic.Storage.
func (s *stage) Load(ctx context.Context, key string) ([]byte, error) {
	if !staged(key) {
		return s.Storage.Load(ctx, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.assets[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return value, nil
}

// Delete implements certmagic.Storage.
func (s *stage) Delete(ctx context.Context, key string) error {
	if !staged(key) {
		return s.Storage.Delete(ctx, key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.assets, key)
	return nil
}

// Exists implements certmagic.Storage.
func (s *stage) Exists(ctx context.Context, key string) bool {
	if !staged(key) {
		return s.Storage.Exists(ctx, key)
	}
	_, err := s.Load(ctx, key)
	return err == nil
}
