package storage

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"wellkey/internal/phrase"
	"wellkey/internal/secret"
	"wellkey/internal/storage/lease"
	"wellkey/internal/storage/postgres"
	"wellkey/internal/storage/redis"
	"wellkey/internal/storage/scheme"
	"wellkey/internal/storage/trouble"
)

// Shared names a store that several replicas share.
type Shared struct {
	URL      string         // with one of scheme.All; without a password
	Password secret.Text    // zero = none
	Roots    *x509.CertPool // of the authority that vouches for it; nil = the system's
	TTL      time.Duration  // how long a lock outlives its owner; 0 = 15 s
	Copy     string         // directory for the copy of what serving needs; "" = none
}

// A backend is where the items are. Store adds what all of them want.
type backend interface {
	certmagic.Storage
	certmagic.TryLocker
	certmagic.LockLeaseRenewer
	Guard(ctx context.Context, name string) (guarded context.Context, release func(context.Context) error, err error)
	String() string
}

// A Store is all state of wellkey. It is safe for concurrent use.
type Store struct {
	backend
	shared  bool
	timeout time.Duration
	keys    Keys
	copied  *Directory // nil = none
	metrics *metrics
	log     *zap.Logger

	mu     sync.Mutex // guards all below
	health Health
	resume time.Time // until then nothing is asked: the last call hung
}

// CheckURL reports what is wrong with the URL of a shared store.
func CheckURL(text string) error {
	kind, err := sharedKind(text)
	switch {
	case err != nil:
		return err
	case kind == scheme.Redis:
		return redis.Check(text)
	default:
		return postgres.Check(text)
	}
}

// sharedKind returns the kind of the shared store that a URL leads to, which is not None.
func sharedKind(text string) (scheme.Kind, error) {
	u, err := url.Parse(text)
	if err != nil {
		return scheme.None, errors.New("it is not a URL") // whose text may hold a secret
	}
	kind := scheme.Of(u.Scheme)
	if kind == scheme.None {
		return scheme.None, errors.New("its scheme is none of " + phrase.List(scheme.All()))
	}
	return kind, nil
}

// Open opens the store that cfg names. A directory that cannot be used is an
// error, in words for the operator. A shared store need not answer now: what was
// copied of it is served, and it is asked again with every call. That its secrets
// are sealed with another key is an error, if it answers.
func Open(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	s := &Store{timeout: cfg.Timeout, keys: cfg.Keys, metrics: newMetrics(cfg.Registerer, cfg.Logger), log: cfg.Logger.Named("storage")}
	if cfg.Shared.URL == "" {
		d, err := newDirectory(cfg, s.metrics)
		if err != nil {
			return nil, err
		}
		s.backend, s.timeout = d, 0 // it has deadlines of its own, for what hangs in the kernel
	} else if err := s.connect(cfg); err != nil {
		return nil, err
	}
	s.metrics.backend(s.Kind())
	s.health = Health{Name: s.backend.String(), Shared: s.shared, Up: true}
	if err := s.checkSeal(context.Background(), cfg.LookOnly); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) connect(cfg Config) error {
	s.shared = true
	if s.timeout == 0 {
		s.timeout = 5 * time.Second
	}
	kind, err := sharedKind(cfg.Shared.URL)
	locks := lease.Config{TTL: cfg.Shared.TTL, Timeout: s.timeout, OnLost: s.metrics.lost.Inc, Panics: s.metrics.panics, Logger: s.log}
	switch {
	case err != nil:
	case kind == scheme.Redis:
		s.backend, err = redis.New(redis.Config{URL: cfg.Shared.URL, Password: cfg.Shared.Password, Roots: cfg.Shared.Roots, Lease: locks})
	default:
		s.backend, err = postgres.New(postgres.Config{URL: cfg.Shared.URL, Password: cfg.Shared.Password, Roots: cfg.Shared.Roots, Lease: locks})
	}
	if err != nil {
		return fmt.Errorf("opening the storage: %w", err)
	}
	if cfg.Shared.Copy == "" {
		return nil
	}
	if s.copied, err = newDirectory(Config{Path: cfg.Shared.Copy, Logger: cfg.Logger}, newMetrics(nil, cfg.Logger)); err != nil {
		s.log.Warn("no copy of the certificate can be kept on this disk, so a start while the store is down would serve nothing", zap.Error(err))
	}
	return nil
}

// Close ends the connections.
func (s *Store) Close() error {
	if c, ok := s.backend.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// Kind is "directory", "redis" or "postgres".
func (s *Store) Kind() string {
	switch s.backend.(type) {
	case *redis.Store:
		return string(scheme.Redis)
	case *postgres.Store:
		return string(scheme.Postgres)
	}
	return "directory"
}

// IsShared reports whether other replicas may use this store, too.
func (s *Store) IsShared() bool { return s.shared }

// Health says how the last call went.
type Health struct {
	Name   string         // without a password
	Shared bool           // other replicas may use it, too
	Up     bool           // the last call was answered
	Since  time.Time      // when that began; zero = at the start
	Why    *trouble.Error // of a shared store that is not up
}

// Health returns how the last call went.
func (s *Store) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}

// afterHang is how long nothing is asked after a call that hung, so that whoever
// needs several values waits once.
const afterHang = 3 * time.Second

// call runs one call with a deadline, counts it, and notes how the store is.
func (s *Store) call(ctx context.Context, name callName, f func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := s.hanging(); err != nil {
		return err
	}
	limited, cancel := ctx, func() {}
	if s.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, s.timeout)
	}
	defer cancel()
	began := time.Now()
	err := f(limited)
	s.metrics.called(name, time.Since(began), err)
	s.note(ctx, err)
	return err
}

func (s *Store) hanging() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.health.Why != nil && time.Now().Before(s.resume) {
		return s.health.Why
	}
	return nil
}

// note keeps what a call tells of a shared store.
func (s *Store) note(ctx context.Context, err error) {
	why, down := trouble.Of(err)
	if !s.shared || !down && err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, lease.ErrLost) || ctx.Err() != nil {
		return // it tells nothing
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.health
	s.health.Up, s.health.Why = !down, why
	if down && why.Reason == trouble.Silent {
		s.resume = time.Now().Add(afterHang)
	}
	switch {
	case was.Up && down:
		s.health.Since = time.Now()
		s.metrics.up.Set(0)
		s.log.Error("storage is down; what is in use goes on from memory and the local copy, and nothing is ordered or registered",
			zap.String("seen", why.Seen), zap.String("cause", why.Cause), zap.String("fix", why.Fix), zap.String("store", why.Store))
	case !was.Up && !down:
		s.health.Since = time.Now()
		s.metrics.up.Set(1)
		s.log.Info("storage is back", zap.String("store", s.health.Name), zap.Duration("after", time.Since(was.Since).Round(time.Second)))
	}
}

// Lock waits until it has the lock of that name, or ctx ends. Its calls have
// deadlines, and it has none: others may work for long.
func (s *Store) Lock(ctx context.Context, name string) error {
	err := s.backend.Lock(ctx, name)
	s.noteLock(ctx, err)
	return err
}

// TryLock takes the lock of that name if it is free now.
func (s *Store) TryLock(ctx context.Context, name string) (ok bool, err error) {
	ok, err = s.backend.TryLock(ctx, name)
	s.noteLock(ctx, err)
	return ok, err
}

// Guard is Lock for work under the lock: its context ends when the lock is lost,
// and what is written with it is refused then. release gives the lock back.
func (s *Store) Guard(ctx context.Context, name string) (guarded context.Context, release func(context.Context) error, err error) {
	guarded, release, err = s.backend.Guard(ctx, name)
	s.noteLock(ctx, err)
	return guarded, release, err
}

func (s *Store) noteLock(ctx context.Context, err error) {
	s.metrics.called(callLock, -1, err)
	s.note(ctx, err)
}

// Store makes value that of key.
func (s *Store) Store(ctx context.Context, key string, value []byte) error {
	sealed, err := s.seal(key, value)
	if err != nil {
		return err
	}
	if err := s.call(ctx, callStore, func(ctx context.Context) error { return s.backend.Store(ctx, key, sealed) }); err != nil {
		s.metrics.failed(err)
		return err
	}
	s.metrics.writable.Set(1)
	s.keepCopy(ctx, key, sealed)
	return nil
}

// Load returns the value of key, or an error that is fs.ErrNotExist.
func (s *Store) Load(ctx context.Context, key string) (value []byte, err error) {
	err = s.call(ctx, callLoad, func(ctx context.Context) (err error) {
		value, err = s.backend.Load(ctx, key)
		return err
	})
	switch {
	case err == nil:
		s.keepCopy(ctx, key, value)
	case s.mayUseCopy(ctx, key, err):
		if value, err = s.copied.Load(ctx, key); err == nil {
			s.metrics.copyReads.Inc()
		} else {
			return nil, s.Health().why(err)
		}
	default:
		return nil, err
	}
	return s.unseal(key, value)
}

// why returns the reason of the trouble with the store in place of what was wrong
// with the copy, which is less news.
func (h Health) why(err error) error {
	if h.Why != nil {
		return h.Why
	}
	return err
}

// Delete removes key and all keys below it. A key that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	err := s.call(ctx, callDelete, func(ctx context.Context) error { return s.backend.Delete(ctx, key) })
	if err == nil {
		s.dropCopy(ctx, key)
	}
	return err
}

// Exists tells whether key is there, as a value or as a directory of such.
func (s *Store) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the keys below prefix, directories among them: the next level
// only, or all. The error is fs.ErrNotExist where there is nothing of that name.
func (s *Store) List(ctx context.Context, prefix string, recursive bool) (keys []string, err error) {
	err = s.call(ctx, callList, func(ctx context.Context) (err error) {
		keys, err = s.backend.List(ctx, prefix, recursive)
		return err
	})
	if s.mayUseCopy(ctx, prefix, err) {
		if keys, err = s.copied.List(ctx, prefix, recursive); err != nil {
			return nil, s.Health().why(err)
		}
	}
	return keys, err
}

// Stat describes key. The error is fs.ErrNotExist where it is not there.
func (s *Store) Stat(ctx context.Context, key string) (info certmagic.KeyInfo, err error) {
	err = s.call(ctx, callStat, func(ctx context.Context) (err error) {
		info, err = s.backend.Stat(ctx, key)
		return err
	})
	if !s.keys.IsZero() && !public(key) {
		info.Size = 0 // that of the seal, else, which certmagic need not know
	}
	if s.mayUseCopy(ctx, key, err) {
		if info, err = s.copied.Stat(ctx, key); err != nil {
			return info, s.Health().why(err)
		}
	}
	return info, err
}

// Ephemeral tells whether what is stored may be lost, as far as that can be seen,
// and why.
func (s *Store) Ephemeral(ctx context.Context) (ephemeral bool, why string) {
	if b, ok := s.backend.(interface {
		Ephemeral(context.Context) (bool, string)
	}); ok {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return b.Ephemeral(limited)
	}
	return false, ""
}

// Examine returns what is wrong with a shared store, as far as that can be seen
// without writing into it.
func (s *Store) Examine(ctx context.Context) error {
	if p, ok := s.backend.(interface{ Ping(context.Context) error }); ok {
		return s.call(ctx, callStat, p.Ping)
	}
	return nil
}

// Prove makes up for Config.ProveLater: it proves that a directory can be written,
// and logs it where it cannot. What is in it is served on.
func (s *Store) Prove(ctx context.Context) {
	d, ok := s.backend.(*Directory)
	if !ok || d.proven {
		return
	}
	if err := d.prove(ctx); ctx.Err() == nil {
		d.tell(err)
	}
}

// Writable proves that the store takes what is written, and sets the metric
// wellkey_storage_writable.
func (s *Store) Writable(ctx context.Context) error {
	if d, ok := s.backend.(*Directory); ok {
		return d.Writable(ctx)
	}
	err := s.Examine(ctx)
	if err == nil {
		err = probe(ctx, s, s.metrics.panics)
	}
	if err != nil {
		s.metrics.writable.Set(0)
	}
	return err
}
