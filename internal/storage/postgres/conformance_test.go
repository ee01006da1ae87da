package postgres_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/secret"
	"wellkey/internal/storage/lease"
	"wellkey/internal/storage/postgres"
	"wellkey/internal/storage/storagetest"
	"wellkey/internal/teststore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ttl is that of the locks of tests: far more than a call takes, and a process stalls.
const ttl = 3 * time.Second

func TestPostgresIsAStorage(t *testing.T) {
	t.Parallel()
	var server *teststore.Postgres
	var database string
	storagetest.Run(t, storagetest.Backend{
		New: func(*testing.T) string {
			if server == nil {
				server = teststore.StartPostgres(t)
			}
			database = server.Database()
			return server.URL(teststore.Admin, database)
		},
		Open: func(t *testing.T, address string) storagetest.Storage { return open(t, postgres.Config{URL: address}) },
		Seize: func(_ *testing.T, _, name string) {
			server.Exec(database, "UPDATE wellkey_locks SET owner = 'THEIRS', fence = DEFAULT, expires = clock_timestamp() + interval '1 hour' WHERE name = '"+name+"'")
		},
		Lease:    ttl,
		Takeover: 15 * time.Second,
		Lost:     lease.ErrLost,
	})
}

func open(t *testing.T, cfg postgres.Config) *postgres.Store {
	t.Helper()
	cfg.Lease.TTL = ttl
	if cfg.Password.IsZero() {
		cfg.Password = secret.New(teststore.AdminPassword)
	}
	s, err := postgres.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
