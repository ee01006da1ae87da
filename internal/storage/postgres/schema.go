package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"wellkey/internal/storage/trouble"
)

// version is that of the tables that this wellkey works with.
const version = 1

// schemaLock is the key of the advisory lock under which tables are made: the
// letters of "wellkey". It is held for one transaction only.
const schemaLock = 0x77656c6c6b6579

// steps make version n+1 of version n. They are never changed, only added to.
var steps = [version]string{`
	CREATE TABLE wellkey_items (
		key      text COLLATE "C" PRIMARY KEY,
		value    bytea NOT NULL,
		modified timestamptz NOT NULL
	);
	CREATE TABLE wellkey_locks (
		name    text PRIMARY KEY,
		owner   text NOT NULL,
		fence   bigint GENERATED ALWAYS AS IDENTITY,
		expires timestamptz NOT NULL
	);
`}

// Schema is what an administrator runs where wellkey itself may make no tables.
func Schema() string {
	return fmt.Sprintf("CREATE TABLE wellkey_schema (version int NOT NULL);\nINSERT INTO wellkey_schema VALUES (%d);", version) + steps[0]
}

// prepare makes the tables, or brings them up to date, once.
func (s *Store) prepare(ctx context.Context) error {
	if s.ready.Load() {
		return nil
	}
	select { // one at a time
	case s.preparing <- struct{}{}:
	case <-ctx.Done():
		return s.explain(ctx.Err())
	}
	defer func() { <-s.preparing }()
	if s.ready.Load() {
		return nil
	}
	found, err := s.version(ctx, s.pool)
	if err == nil && found < version {
		err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.upgrade(ctx, tx) })
		found = version
	}
	if err != nil {
		return s.explain(err)
	}
	if found > version {
		return &trouble.Error{Store: s.name, Reason: trouble.Schema, Seen: fmt.Sprintf("its tables have version %d, and this wellkey knows version %d", found, version),
			Cause: "a newer wellkey made them", Fix: "run the newer wellkey here, too"}
	}
	s.ready.Store(true)
	return nil
}

// version returns the version of the tables; 0 = there are none.
func (s *Store) version(ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (found int, err error) {
	// A table that is not there must not fail: that would end a transaction. And
	// to_regclass may remember that it is not there, over the wait for the lock.
	var exists bool
	if err := q.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'wellkey_schema' AND pg_table_is_visible(oid))`).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	err = q.QueryRow(ctx, `SELECT version FROM wellkey_schema`).Scan(&found)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	return found, err
}

// upgrade works under a lock, so that replicas that start together do it once.
func (s *Store) upgrade(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, int64(schemaLock))); err != nil {
		return err
	}
	found, err := s.version(ctx, tx)
	if err != nil {
		return err
	}
	if found == 0 {
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS wellkey_schema (version int NOT NULL)`); err != nil {
			return err
		}
	}
	for _, step := range steps[min(found, version):] {
		if _, err := tx.Exec(ctx, step, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM wellkey_schema`); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, fmt.Sprintf(`INSERT INTO wellkey_schema VALUES (%d)`, version))
	return err
}
