package postgres_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"wellkey/internal/secret"
	"wellkey/internal/storage/postgres"
	"wellkey/internal/storage/storagetest"
	"wellkey/internal/storage/trouble"
	"wellkey/internal/teststore"
)

// TestWords: what stands in the way of a PostgreSQL is said in words, each with
// the likely cause and the fix, and without a password.
func TestWords(t *testing.T) {
	t.Parallel()
	p := teststore.StartPostgres(t)
	database := p.Database()
	p.Exec(database, "CREATE ROLE poor LOGIN PASSWORD 'right'", "CREATE ROLE locked NOLOGIN PASSWORD 'right'")
	newer := p.Database()
	p.Exec(newer, "CREATE TABLE wellkey_schema (version int NOT NULL)", "INSERT INTO wellkey_schema VALUES (99)")
	for _, row := range []struct {
		name   string
		cfg    postgres.Config
		reason trouble.Reason
		words  []string
	}{
		{"nobody there", postgres.Config{URL: "postgres://u@127.0.0.1:1/d?sslmode=disable"}, trouble.Refused, []string{"the connection was refused", "correct host and port"}},
		{"no such name", postgres.Config{URL: "postgres://u@postgres.invalid/d?sslmode=disable"}, trouble.Unknown, []string{`"postgres.invalid" has no address`}},
		{"wrong password", postgres.Config{URL: p.URL(teststore.Admin, database), Password: secret.New("canary")}, trouble.Login, []string{"does not take the user or the password", "storage_password_file"}},
		{"may not log in", postgres.Config{URL: p.URL("locked", database), Password: secret.New("right")}, trouble.Login, []string{"does not let us in", "pg_hba.conf"}},
		{"no such database", postgres.Config{URL: p.URL(teststore.Admin, "nothing")}, trouble.Database, []string{"no such database", "CREATE DATABASE"}},
		{"no privilege", postgres.Config{URL: p.URL("poor", database), Password: secret.New("right")}, trouble.Privilege, []string{"lacks a privilege", "docs/replicas.md"}},
		{"no schema", postgres.Config{URL: p.URL(teststore.Admin, database) + "&search_path=nothing"}, trouble.Database, []string{"no schema to make the tables in", "CREATE SCHEMA"}},
		{"read only", postgres.Config{URL: p.URL(teststore.Admin, database) + "&default_transaction_read_only=on"}, trouble.ReadOnly, []string{"takes no writes", "target_session_attrs=read-write"}},
		{"no TLS", postgres.Config{URL: "postgres://" + teststore.Admin + "@" + p.Addr + "/" + database + "?sslmode=require"}, trouble.NoTLS, []string{"does not speak TLS", "sslmode=disable"}},
		{"newer", postgres.Config{URL: p.URL(teststore.Admin, newer)}, trouble.Schema, []string{"have version 99", "run the newer wellkey"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			storagetest.WantTrouble(t, open(t, row.cfg), row.reason, append(row.words, "storage postgres")...)
		})
	}
}

// TestLeastPrivileges: where an administrator makes the tables, a user that may
// only read and write them can do all, and Ping names what is missing.
func TestLeastPrivileges(t *testing.T) {
	t.Parallel()
	p := teststore.StartPostgres(t)
	database := p.Database()
	p.Exec(database, postgres.Schema(), "CREATE ROLE wellkey LOGIN PASSWORD 'right'")
	s := open(t, postgres.Config{URL: p.URL("wellkey", database), Password: secret.New("right")})
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "lacks a privilege") {
		t.Errorf("Ping without privileges: got %v", err)
	}
	p.Exec(database, "GRANT SELECT ON wellkey_schema TO wellkey", "GRANT SELECT, INSERT, UPDATE ON wellkey_items, wellkey_locks TO wellkey")
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "DELETE on wellkey_items") {
		t.Errorf("Ping without DELETE: got %v", err)
	}
	p.Exec(database, "GRANT DELETE ON wellkey_items, wellkey_locks TO wellkey")
	ctx := t.Context()
	guarded, release, err := s.Guard(ctx, "l")
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"Ping": s.Ping(ctx), "Store": s.Store(guarded, "a/k", []byte("v")), "Renew": s.RenewLockLease(ctx, "l", time.Minute), "Delete": s.Delete(guarded, "a"), "release": release(ctx),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestTablesAreMadeOnce: replicas that start together make the tables without a
// fault, and tables that were dropped are made again.
func TestTablesAreMadeOnce(t *testing.T) {
	t.Parallel()
	p := teststore.StartPostgres(t)
	database := p.Database()
	var group sync.WaitGroup
	for i := range 8 {
		s := open(t, postgres.Config{URL: p.URL(teststore.Admin, database)})
		group.Go(func() {
			if err := s.Store(t.Context(), fmt.Sprint("k", i), []byte("v")); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s := open(t, postgres.Config{URL: p.URL(teststore.Admin, database)})
	if keys, err := s.List(t.Context(), "", false); err != nil || len(keys) != 8 {
		t.Errorf("got %q, %v, want 8 keys", keys, err)
	}
	p.Exec(database, "DROP TABLE wellkey_items, wellkey_locks, wellkey_schema")
	if _, err := s.Load(t.Context(), "k"); err == nil {
		t.Error("loading from a table that was dropped: got no error")
	}
	if err := s.Store(t.Context(), "k", []byte("v")); err != nil {
		t.Errorf("after the tables were dropped: %v", err)
	}
}

func TestURLs(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u@a:1/d": "",
		"postgresql://u@a,b/d?target_session_attrs=read-write": "",
		"postgres://u@a/d?pool_max_conns=2":                    "",
		"postgres://u@a/d?sslmode=perhaps":                     "sslmode",
		"postgres://u@a/d?pool_max_conns=0":                    "no number from 1 on",
		"postgres://u@a/d?pool_min_conns=2":                    "pool_min_conns, which wellkey does not know",
		"postgres://u@a/d?default_query_exec_mode=exec":        "default_query_exec_mode, which wellkey does not know",
		"postgres://u@a/d?password=x":                          "a setting of its own",
	} {
		err := postgres.Check(url)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
}
