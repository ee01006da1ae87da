// Package postgres keeps state in PostgreSQL, in three tables of the first schema
// of the search path: wellkey_items has the values, wellkey_locks the locks, each
// a row with the owner, the fence and the end of its lease by the server's clock,
// and wellkey_schema says which version of the tables this is.
//
// Every call is one statement, and nothing is kept on a connection: no advisory
// locks, no prepared statements. So a PgBouncer may stand between, in any mode.
package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/jackc/pgx/v5/pgconn"

	"wellkey/internal/secret"
	"wellkey/internal/storage/lease"
	"wellkey/internal/storage/tree"
	"wellkey/internal/storage/trouble"
)

// Config says which PostgreSQL, and who we are there.
type Config struct {
	// URL is a connection URI of libpq (PostgreSQL manual, section 34.1.1.2), as
	// github.com/jackc/pgx reads it, without a password.
	URL      string
	Password secret.Text    // zero = none
	Roots    *x509.CertPool // vouch for the server in place of the system's; nil = as the URL says
	Lease    lease.Config
}

// A Store is state in PostgreSQL. It is safe for concurrent use.
type Store struct {
	*lease.Locks
	pool *pool
	name string

	ready     atomic.Bool   // the tables are there
	preparing chan struct{} // holds one while they are made
}

// New returns the store that cfg names. It connects to nothing; the error is
// about the URL.
func New(cfg Config) (*Store, error) {
	parsed, size, err := parse(cfg)
	if err != nil {
		return nil, err
	}
	pool, err := newPool(parsed, size)
	if err != nil {
		return nil, err
	}
	s := &Store{pool: pool, name: trouble.NameOf(cfg.URL, "postgres"), preparing: make(chan struct{}, 1)}
	s.Locks = lease.New(server{s}, cfg.Lease)
	return s, nil
}

// Check reports what is wrong with a URL.
func Check(text string) error {
	_, _, err := parse(Config{URL: text})
	return err
}

// maxConns is enough for one wellkey, and leaves room on small servers.
const maxConns = 4

// parse reads a URL, and says how many connections it allows.
func parse(cfg Config) (parsed *pgconn.Config, size int32, err error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, 0, errors.New("it is not a URL") // whose text may hold a secret
	}
	query := u.Query()
	if query.Has("password") || query.Has("passfile") && !cfg.Password.IsZero() {
		return nil, 0, errors.New("its query holds password or passfile: the password has a setting of its own")
	}
	parsed, err = pgconn.ParseConfig(cfg.URL)
	if err != nil {
		return nil, 0, err
	}
	size = maxConns
	if text, ok := parsed.RuntimeParams[maxConnsParam]; ok {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil || n < 1 {
			return nil, 0, fmt.Errorf("its query holds %s, which is no number from 1 on", maxConnsParam)
		}
		size = int32(n)
		delete(parsed.RuntimeParams, maxConnsParam)
	}
	for _, name := range slices.Sorted(maps.Keys(parsed.RuntimeParams)) {
		if strings.HasPrefix(name, "pool_") || slices.Contains(ofPgx, name) {
			return nil, 0, fmt.Errorf("its query holds %s, which wellkey does not know: remove it", name)
		}
	}
	if !query.Has("connect_timeout") {
		parsed.ConnectTimeout = 5 * time.Second
	}
	if !query.Has("application_name") {
		parsed.RuntimeParams["application_name"] = "wellkey"
	}
	if !cfg.Password.IsZero() {
		parsed.Password = cfg.Password.Reveal()
	}
	if cfg.Roots != nil {
		trust(parsed, cfg.Roots)
	}
	return parsed, size, nil
}

// maxConnsParam is a parameter of a URL as pgxpool has it.
const maxConnsParam = "pool_max_conns"

// ofPgx are the parameters of other layers of pgx: they would go to the server,
// which knows them less.
var ofPgx = []string{"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity"}

// trust makes the client verify every server against roots, name included,
// wherever it speaks TLS.
func trust(cfg *pgconn.Config, roots *x509.CertPool) {
	verify := func(host string, c *pgconn.FallbackConfig) {
		if c.TLSConfig == nil {
			return
		}
		c.TLSConfig.RootCAs, c.TLSConfig.ServerName = roots, host
		c.TLSConfig.InsecureSkipVerify, c.TLSConfig.VerifyPeerCertificate = false, nil
	}
	first := &pgconn.FallbackConfig{Host: cfg.Host, TLSConfig: cfg.TLSConfig}
	verify(cfg.Host, first)
	for _, c := range cfg.Fallbacks {
		verify(c.Host, c)
	}
}

// Close ends the connections.
func (s *Store) Close() error {
	s.pool.close()
	return nil
}

// String names the store, for logs.
func (s *Store) String() string { return s.name }

// guardOf returns the lease under which ctx works; fence 0 = under none.
func guardOf(ctx context.Context) (name, owner string, fence int64) {
	l, _ := lease.FromContext(ctx)
	return l.Name, l.Owner, l.Fence
}

// guarded is the condition of a write: either it is made under no lease ($3 = 0),
// or the row of the lock has that lease, which has not lapsed, and nobody changes
// the row before the write is done.
const guarded = `WITH lock AS (
	SELECT 1 FROM wellkey_locks WHERE name = $1 AND owner = $2 AND fence = $3 AND expires > clock_timestamp() FOR SHARE
), guard AS (SELECT 1 FROM lock UNION ALL SELECT 1 WHERE $3::bigint = 0) `

// Store makes value that of key.
func (s *Store) Store(ctx context.Context, key string, value []byte) error {
	key, err := tree.Item(key)
	if err != nil {
		return err
	}
	if value == nil {
		value = []byte{} // not NULL
	}
	name, owner, fence := guardOf(ctx)
	return s.write(ctx, "storing", key, guarded+`
		INSERT INTO wellkey_items (key, value, modified) SELECT $4::text, $5::bytea, clock_timestamp() FROM guard
		ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, modified = EXCLUDED.modified`,
		fence == 0, name, owner, fence, key, value)
}

// Delete removes key and all keys below it. A key that is not there is no error.
func (s *Store) Delete(ctx context.Context, key string) error {
	key, err := tree.Item(key)
	if err != nil {
		return err
	}
	name, owner, fence := guardOf(ctx)
	from, to := tree.Range(key)
	return s.write(ctx, "deleting", key, guarded+`, gone AS (
		DELETE FROM wellkey_items WHERE (key = $4 OR key >= $5 AND key < $6) AND EXISTS (SELECT 1 FROM guard))
		SELECT 1 FROM guard`,
		false, name, owner, fence, key, from, to)
}

// write runs a guarded statement. One that touches no row was refused, unless
// there is no guard.
func (s *Store) write(ctx context.Context, doing, key, statement string, free bool, args ...any) error {
	result, err := s.run(ctx, statement, args...)
	switch {
	case err != nil:
		return fmt.Errorf("%s %q: %w", doing, key, err)
	case result.CommandTag.RowsAffected() == 0 && !free:
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
	var value []byte
	if err := s.row(ctx, `SELECT value FROM wellkey_items WHERE key = $1`, []any{key}, &value); err != nil {
		return nil, fmt.Errorf("loading %q: %w", key, err)
	}
	return value, nil
}

// run runs one statement, once the tables are there.
func (s *Store) run(ctx context.Context, statement string, args ...any) (result *pgconn.Result, err error) {
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	err = s.pool.use(ctx, func(conn *pgconn.PgConn) error {
		result, err = exec(ctx, conn, statement, args...)
		return err
	})
	return result, s.explain(err)
}

// row reads one row; that there is none is fs.ErrNotExist.
func (s *Store) row(ctx context.Context, query string, args []any, into ...any) error {
	result, err := s.run(ctx, query, args...)
	if err != nil {
		return err
	}
	if len(result.Rows) == 0 {
		return fs.ErrNotExist
	}
	return s.explain(scan(result.Rows[0], into...))
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
	below, err := s.below(ctx, key)
	if err == nil && len(below) == 0 && key != "" {
		err = s.row(ctx, `SELECT 1 FROM wellkey_items WHERE key = $1`, []any{key}, new(int64))
	}
	if err != nil {
		return nil, fmt.Errorf("listing %q: %w", key, err)
	}
	return tree.Entries(key, below, recursive), nil
}

func (s *Store) below(ctx context.Context, key string) ([]string, error) {
	from, to := tree.Range(key)
	result, err := s.run(ctx, `SELECT key FROM wellkey_items WHERE $1 = '' OR key >= $1 AND key < $2 ORDER BY key`, from, to)
	if err != nil {
		return nil, err
	}
	below := make([]string, len(result.Rows))
	for i, row := range result.Rows {
		if err := scan(row, &below[i]); err != nil {
			return nil, s.explain(err)
		}
	}
	return below, nil
}

// Stat describes key. The error is fs.ErrNotExist where it is not there.
func (s *Store) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	cleaned, err := tree.Clean(key)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	info := certmagic.KeyInfo{Key: key}
	if cleaned == "" {
		return info, nil
	}
	from, to := tree.Range(cleaned)
	var modified int64
	err = s.row(ctx, `SELECT (extract(epoch FROM modified) * 1000000)::bigint, length(value), key = $1 FROM wellkey_items
		WHERE key = $1 OR key >= $2 AND key < $3 ORDER BY key = $1 DESC LIMIT 1`,
		[]any{cleaned, from, to}, &modified, &info.Size, &info.IsTerminal)
	if err != nil {
		return certmagic.KeyInfo{}, fmt.Errorf("looking at %q: %w", key, err)
	}
	info.Modified = time.UnixMicro(modified)
	if !info.IsTerminal {
		info.Modified, info.Size = time.Time{}, 0 // those of something below it
	}
	return info, nil
}

// Ping returns why the store cannot be used, as far as that can be seen without
// writing; nil = it can.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	var replica bool
	if err := s.row(ctx, `SELECT pg_is_in_recovery()`, nil, &replica); err != nil {
		return err
	}
	if replica {
		return s.explain(errReplica)
	}
	// The privileges that it takes, without using them.
	var missing []string
	for _, need := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
		for _, table := range []string{"wellkey_items", "wellkey_locks"} {
			var has bool
			if err := s.row(ctx, `SELECT has_table_privilege($1::text, $2::text)`, []any{table, need}, &has); err != nil {
				return err
			}
			if !has {
				missing = append(missing, need+" on "+table)
			}
		}
	}
	if len(missing) > 0 {
		return s.explain(&pgconn.PgError{Code: insufficientPrivilege, Message: "missing: " + strings.Join(missing, ", ")})
	}
	return nil
}
