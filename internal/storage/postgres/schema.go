package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

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
	var found int64
	err := s.pool.use(ctx, func(conn *pgconn.PgConn) (err error) {
		found, err = s.version(ctx, conn)
		if err == nil && found < version {
			found, err = version, s.upgrade(ctx, conn)
		}
		return err
	})
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
func (s *Store) version(ctx context.Context, conn *pgconn.PgConn) (found int64, err error) {
	// A table that is not there must not fail: that would end a transaction. And
	// to_regclass may remember that it is not there, over the wait for the lock.
	result, err := exec(ctx, conn, `SELECT 1 FROM pg_catalog.pg_class WHERE relname = 'wellkey_schema' AND pg_table_is_visible(oid)`)
	if err != nil || len(result.Rows) == 0 {
		return 0, err
	}
	result, err = exec(ctx, conn, `SELECT version FROM wellkey_schema`)
	if err != nil || len(result.Rows) == 0 {
		return 0, err
	}
	return found, scan(result.Rows[0], &found)
}

// upgrade works in a transaction, under a lock, so that replicas that start
// together do it once. Where it fails, the connection is given up within the
// transaction, which undoes it.
func (s *Store) upgrade(ctx context.Context, conn *pgconn.PgConn) error {
	run := func(statements ...string) error {
		for _, statement := range statements {
			if err := conn.Exec(ctx, statement).Close(); err != nil {
				return err
			}
		}
		return nil
	}
	if err := run(`BEGIN`, fmt.Sprintf(`SELECT pg_advisory_xact_lock(%d)`, int64(schemaLock))); err != nil {
		return err
	}
	found, err := s.version(ctx, conn)
	if err != nil {
		return err
	}
	if found == 0 {
		if err := run(`CREATE TABLE IF NOT EXISTS wellkey_schema (version int NOT NULL)`); err != nil {
			return err
		}
	}
	if err := run(steps[min(found, version):]...); err != nil {
		return err
	}
	return run(`DELETE FROM wellkey_schema`, fmt.Sprintf(`INSERT INTO wellkey_schema VALUES (%d)`, version), `COMMIT`)
}
