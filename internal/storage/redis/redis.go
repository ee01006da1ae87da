// Package redis keeps state in Redis or Valkey: one server, one that Sentinel
// chooses, or a Cluster.
//
// All keys begin with "{wellkey}:", so that a Cluster keeps them in one slot and
// one script can change several of them: "items" is a hash of all values, each
// behind the time of its writing, "names" a sorted set of their names, for
// listing, "fence" a counter, and "lock:NAME" a lock while it is held, with the
// fence and the owner of its lease. Redis lets a lock lapse by its own clock.
package redis

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"wellkey/internal/secret"
	"wellkey/internal/storage/lease"
	"wellkey/internal/storage/tree"
	"wellkey/internal/storage/trouble"
)

// Config says which Redis, and who we are there.
type Config struct {
	// URL is that of github.com/redis/go-redis, without a password: master_name
	// in its query makes its host a Sentinel, addr (further nodes) or
	// cluster=true a node of a Cluster.
	URL      string
	Password secret.Text    // of the user in the URL; zero = none
	Roots    *x509.CertPool // for rediss; nil = the system's
	Lease    lease.Config
}

// A Store is state in Redis. It is safe for concurrent use.
type Store struct {
	*lease.Locks
	client redis.UniversalClient
	name   string
}

// New returns the store that cfg names. It connects to nothing; the error is
// about the URL.
func New(cfg Config) (*Store, error) {
	redis.SetLogger(quiet{})
	client, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{client: client, name: trouble.NameOf(cfg.URL, "redis")}
	s.Locks = lease.New(server{s}, cfg.Lease)
	return s, nil
}

// quiet is a logger for the client, which would print to standard error: what it
// meets comes to us as an error.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// Check reports what is wrong with a URL.
func Check(text string) error {
	client, err := connect(Config{URL: text})
	if err == nil {
		_ = client.Close() // It never connected.
	}
	return err
}

// connect makes the client, which connects when it is first used. The library has three
// types of options that are set alike, each with a parser of URLs; for the one of which
// it makes all three (UniversalOptions) it has none.
func connect(cfg Config) (redis.UniversalClient, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, errors.New("it is not a URL") // whose text may hold a secret
	}
	query := u.Query()
	flag := func(name string) bool {
		on := query.Get(name) == "true"
		query.Del(name)
		return on
	}
	cluster, shareLogin := flag("cluster"), flag("sentinel_auth")
	user := u.User.Username()
	u.User, u.RawQuery = nil, query.Encode()
	if query.Has("password") || query.Has("skip_verify") {
		return nil, errors.New("its query holds password or skip_verify: the password has a setting of its own, and a certificate that is not verified proves nothing")
	}
	// The caller has a deadline of seconds, by which it wants to hear what is wrong.
	for name, value := range map[string]string{"max_retries": "1", "dial_timeout": "3s"} {
		if !query.Has(name) {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	off := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, err
		}
		o.Username, o.Password = user, cfg.Password.Reveal()
		if shareLogin {
			o.SentinelUsername, o.SentinelPassword = o.Username, o.Password
		}
		o.ContextTimeoutEnabled, o.DisableIdentity = true, true
		o.Protocol, o.DialerRetries = max(o.Protocol, 2), 1
		if o.TLSConfig != nil {
			o.TLSConfig.RootCAs = cfg.Roots
			o.TLSConfig.ServerName = "" // each of its servers has a name of its own
		}
		return redis.NewFailoverClient(o), nil
	case cluster || query.Has("addr"):
		o, err := redis.ParseClusterURL(u.String())
		if err != nil {
			return nil, err
		}
		o.Username, o.Password = user, cfg.Password.Reveal()
		o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, off
		o.Protocol, o.DialerRetries = max(o.Protocol, 2), 1
		if o.TLSConfig != nil {
			o.TLSConfig.RootCAs = cfg.Roots
			o.TLSConfig.ServerName = ""
		}
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, err
	}
	o.Username, o.Password = user, cfg.Password.Reveal()
	o.ContextTimeoutEnabled, o.DisableIdentity, o.MaintNotificationsConfig = true, true, off
	o.Protocol, o.DialerRetries = max(o.Protocol, 2), 1
	if o.TLSConfig != nil {
		o.TLSConfig.RootCAs = cfg.Roots
	}
	return redis.NewClient(o), nil
}

// Close ends the connections.
func (s *Store) Close() error { return s.client.Close() }

// String names the store, for logs.
func (s *Store) String() string { return s.name }

const (
	prefix = "{wellkey}:"
	items  = prefix + "items"
	names  = prefix + "names"
	fences = prefix + "fence"
)

func lockKey(name string) string { return prefix + "lock:" + name }

// guardOf returns the key and the value of the lock under which ctx works; no
// value = under none.
func guardOf(ctx context.Context) (key, value string) {
	l, ok := lease.FromContext(ctx)
	if !ok {
		return lockKey(""), ""
	}
	return lockKey(l.Name), lockValue(l.Fence, l.Owner)
}

// Store makes value that of key.
func (s *Store) Store(ctx context.Context, key string, value []byte) error {
	key, err := tree.Item(key)
	if err != nil {
		return err
	}
	lock, guard := guardOf(ctx)
	done, err := storeScript.Run(ctx, s.client, []string{items, names, lock}, key, value, guard).Int()
	return s.wrote("storing", key, done, err)
}

// Delete removes key and all keys below it. A key that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	key, err := tree.Item(key)
	if err != nil {
		return err
	}
	lock, guard := guardOf(ctx)
	from, to := tree.Range(key)
	done, err := deleteScript.Run(ctx, s.client, []string{items, names, lock}, key, from, to, guard).Int()
	return s.wrote("deleting", key, done, err)
}

func (s *Store) wrote(doing, key string, done int, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("%s %q: %w", doing, key, s.explain(err))
	case done == 0:
		return fmt.Errorf("%s %q: %w", doing, key, lease.ErrLost)
	}
	return nil
}

// Load returns the value of key, or an error that is fs.ErrNotExist.
func (s *Store) Load(ctx context.Context, key string) ([]byte, error) {
	key, err := tree.Item(key)
	if err != nil {
		return nil, err
	}
	_, value, err := s.read(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("loading %q: %w", key, err)
	}
	return value, nil
}

// read returns when key was written, and what.
func (s *Store) read(ctx context.Context, key string) (at time.Time, value []byte, err error) {
	raw, err := s.client.HGet(ctx, items, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return at, nil, fs.ErrNotExist
	}
	if err != nil {
		return at, nil, s.explain(err)
	}
	stamp, text, _ := strings.Cut(string(raw), ":")
	ms, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return at, nil, errors.New("an item without a time, which wellkey did not write")
	}
	return time.UnixMilli(ms), []byte(text), nil
}

// Exists tells whether key is there, as a value or as a directory of such.
func (s *Store) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the keys below prefix, directories among them: the next level
// only, or all. The error is fs.ErrNotExist where there is nothing of that name.
func (s *Store) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	key, err := tree.Clean(prefix)
	if err != nil {
		return nil, err
	}
	below, err := s.below(ctx, key, 0)
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", key, s.explain(err))
	}
	if len(below) == 0 && key != "" {
		if _, _, err := s.read(ctx, key); err != nil {
			return nil, fmt.Errorf("listing %q: %w", key, err)
		}
	}
	return tree.Entries(key, below, recursive), nil
}

// below returns the names of the items below key, sorted; at most count, 0 = all.
func (s *Store) below(ctx context.Context, key string, count int64) ([]string, error) {
	by := redis.ZRangeArgs{Key: names, Start: "-", Stop: "+", ByLex: true, Count: count}
	if from, to := tree.Range(key); from != "" {
		by.Start, by.Stop = "["+from, "("+to
	}
	if count == 0 {
		by.Count = -1
	}
	return s.client.ZRangeArgs(ctx, by).Result()
}

// Stat describes key. The error is fs.ErrNotExist where it is not there.
func (s *Store) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	cleaned, err := tree.Clean(key)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	at, value, err := s.read(ctx, cleaned)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: at, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, fmt.Errorf("looking at %q: %w", key, err)
	}
	below, err := s.below(ctx, cleaned, 1)
	if err != nil {
		return certmagic.KeyInfo{}, fmt.Errorf("looking at %q: %w", key, s.explain(err))
	}
	if len(below) == 0 && cleaned != "" {
		return certmagic.KeyInfo{}, fmt.Errorf("looking at %q: %w", key, fs.ErrNotExist)
	}
	return certmagic.KeyInfo{Key: key}, nil
}
