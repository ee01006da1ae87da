package redis_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/storage/lease"
	"wellkey/internal/storage/redis"
	"wellkey/internal/storage/storagetest"
	"wellkey/internal/teststore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ttl is that of the locks of tests: far more than a call takes, and a process stalls.
const ttl = 3 * time.Second

func TestRedisIsAStorage(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T) (*teststore.Redis, string) {
		r := teststore.StartRedis(t)
		return r, r.URL("/0")
	})
}

func TestClusterIsAStorage(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T) (*teststore.Redis, string) {
		r := teststore.StartCluster(t)
		return r, r.URL("/?cluster=true")
	})
}

func TestSentinelLeadsToAStorage(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T) (*teststore.Redis, string) {
		r := teststore.StartRedis(t)
		return r, teststore.StartSentinel(t, r).URL("/0?master_name=primary")
	})
}

// conform runs the suite on a server that is emptied for each of its tests. An
// address is the one to talk to, and the URL.
func conform(t *testing.T, start func(*testing.T) (*teststore.Redis, string)) {
	var server *teststore.Redis
	var url string
	storagetest.Run(t, storagetest.Backend{
		New: func(t2 *testing.T) string {
			if server == nil {
				server, url = start(t)
			}
			server.Say("FLUSHALL")
			return url
		},
		Open: func(t *testing.T, address string) storagetest.Storage { return open(t, redis.Config{URL: address}) },
		Seize: func(_ *testing.T, _, name string) {
			if answer := server.Say("SET {wellkey}:lock:" + name + " 999:THEIRS XX"); !strings.HasPrefix(answer, "+OK") {
				t.Errorf("the lock to be seized is not held: %q", answer)
			}
		},
		Lease:    ttl,
		Takeover: 15 * time.Second,
		Lost:     lease.ErrLost,
	})
}

func open(t *testing.T, cfg redis.Config) *redis.Store {
	t.Helper()
	cfg.Lease.TTL = ttl
	s, err := redis.New(cfg)
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
