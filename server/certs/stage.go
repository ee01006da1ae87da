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
// before it is stored. All else, accounts and challenges, is in our storage; of an
// account, the key goes there first.
//
// The lock on an order is ours, and taken around the whole attempt, so
// certmagic's own has nothing to do.
type stage struct {
	certmagic.Storage
	issueLock string

	mu           sync.Mutex // guards what follows
	assets       map[string][]byte
	registration *item // of an account whose key is not stored yet; nil = none
}

type item struct {
	key   string
	value []byte
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
	if strings.Contains(key, "/users/") {
		return s.storeAccount(ctx, key, value)
	}
	if !staged(key) {
		return s.Storage.Store(ctx, key, value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.assets[key] = value
	return nil
}

// storeAccount stores the registration of a new account after its key. certmagic
// has it the other way round, and a kill in between would lose the account: its key
// is the account, and the registration can be asked for again.
func (s *stage) storeAccount(ctx context.Context, key string, value []byte) error {
	name, isRegistration := strings.CutSuffix(key, ".json")
	s.mu.Lock()
	waiting := s.registration
	s.registration = nil
	if isRegistration && !s.Storage.Exists(ctx, name+".key") {
		s.registration = &item{key, value}
		s.mu.Unlock()
		return nil
	}
	s.mu.Unlock()
	err := s.Storage.Store(ctx, key, value)
	if err == nil && waiting != nil && waiting.key == strings.TrimSuffix(key, ".key")+".json" {
		err = s.Storage.Store(ctx, waiting.key, waiting.value)
	}
	return err
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
