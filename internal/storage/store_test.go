package storage_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"wellkey/internal/storage"
	"wellkey/internal/storage/storagetest"
	"wellkey/internal/storage/trouble"
	"wellkey/internal/teststore"
)

func openStore(t *testing.T, cfg storage.Config) *storage.Store {
	t.Helper()
	s, err := storage.Open(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// keys makes sealing keys, each of 32 bytes of one letter.
func keys(t *testing.T, letters string) storage.Keys {
	t.Helper()
	var lines []string
	for _, letter := range letters {
		lines = append(lines, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(string(letter)), 32)))
	}
	k, err := storage.ParseKeys(strings.Join(lines, "\n") + "\n")
	must(t, err)
	return k
}

// TestStoreIsAStorage: with all that surrounds a backend, sealing and a copy
// included, it is still one.
func TestStoreIsAStorage(t *testing.T) {
	t.Parallel()
	var server *teststore.Redis
	storagetest.Run(t, storagetest.Backend{
		New: func(*testing.T) string {
			if server == nil {
				server = teststore.StartRedis(t)
			}
			server.Say("FLUSHALL")
			return server.URL("/0")
		},
		Open: func(t *testing.T, address string) storagetest.Storage {
			return openStore(t, storage.Config{Keys: keys(t, "a"), Shared: storage.Shared{URL: address, TTL: 3 * time.Second, Copy: t.TempDir()}})
		},
		Seize: func(_ *testing.T, _, name string) {
			server.Say("SET {wellkey}:lock:" + name + " 999:THEIRS XX")
		},
		Lease: 3 * time.Second, Takeover: 15 * time.Second, Lost: storage.ErrLockLost,
	})
}

// The items that hold secrets, and some that do not.
var (
	secretItems = []string{"certificates/ca/example.com/example.com.key", "certificates/ca/example.com/example.com.next", "acme/ca/users/default/default.key", "whatever/comes"}
	openItems   = []string{"certificates/ca/example.com/example.com.crt", "certificates/ca/example.com/example.com.json", "acme/ca/users/default/default.json", "registrations/example.com/eu.json", "issuance/ca/example.com.json"}
)

func TestSealing(t *testing.T) {
	t.Parallel()
	const plain = "-----BEGIN EC PRIVATE KEY-----"
	dir, ctx := t.TempDir(), t.Context()
	raw := open(t, storage.Config{Path: dir})
	must(t, raw.Store(ctx, secretItems[0], []byte(plain))) // from before there was a key
	s := openStore(t, storage.Config{Path: dir, Keys: keys(t, "a")})
	wantLoad(t, s, secretItems[0], plain)
	for _, key := range append(secretItems, openItems...) {
		must(t, s.Store(ctx, key, []byte(plain)))
		wantLoad(t, s, key, plain)
	}
	for _, key := range secretItems {
		if value, err := raw.Load(ctx, key); err != nil || bytes.Contains(value, []byte("KEY")) {
			t.Errorf("%s is stored as %q, %v", key, value, err)
		}
	}
	for _, key := range openItems {
		wantLoad(t, raw, key, plain)
	}

	// A new key before the old one: both open.
	rotated := openStore(t, storage.Config{Path: dir, Keys: keys(t, "ba")})
	wantLoad(t, rotated, secretItems[0], plain)
	must(t, rotated.Store(ctx, secretItems[1], []byte(plain)))
	if _, err := s.Load(ctx, secretItems[1]); !errors.Is(err, storage.ErrSealed) {
		t.Errorf("with the former key alone: got %v", err)
	}

	// Nothing is taken for another item, or believed after a change.
	value, err := raw.Load(ctx, secretItems[0])
	must(t, err)
	must(t, raw.Store(ctx, secretItems[2], value))
	value[len(value)-1] ^= 1
	must(t, raw.Store(ctx, secretItems[3], value))
	for _, key := range secretItems[2:] {
		if _, err := rotated.Load(ctx, key); !errors.Is(err, storage.ErrSealed) || !strings.Contains(err.Error(), "changed since, or is of another item") {
			t.Errorf("%s: got %v", key, err)
		}
	}

	// Without the right key there is no start, and nothing is destroyed.
	for name, row := range map[string]struct {
		keys storage.Keys
		want string
	}{
		"wrong key": {keys(t, "c"), "add the line with that key to the file"},
		"no key":    {storage.Keys{}, "set storage_key_file"},
	} {
		if _, err := storage.Open(storage.Config{Path: dir, Keys: row.keys}); !errors.Is(err, storage.ErrSealed) || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %q", name, err, row.want)
		}
	}
	wantLoad(t, rotated, secretItems[0], plain)
}

func TestParseKeys(t *testing.T) {
	canary := "Canary7f3a"
	for text, want := range map[string]string{
		canary + "!": "line 1 is not base64",
		base64.StdEncoding.EncodeToString([]byte(canary)): "line 1 has 10 bytes, not 32",
		"": "line 1 has 0 bytes, not 32",
	} {
		k, err := storage.ParseKeys(text)
		if err == nil || err.Error() != want || strings.Contains(err.Error(), canary) || !k.IsZero() {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

type loader interface {
	Load(context.Context, string) ([]byte, error)
}

func wantLoad(t *testing.T, s loader, key, want string) {
	t.Helper()
	if got, err := s.Load(t.Context(), key); err != nil || string(got) != want {
		t.Errorf("%s: got %q, %v, want %q", key, got, err, want)
	}
}

// TestStoreDown: while the store hangs or is away, what serving needs comes from
// the local copy, also after a start; nothing is written or locked; and it comes
// back by itself.
func TestStoreDown(t *testing.T) {
	t.Parallel()
	const crt, ledger = "certificates/ca/example.com/example.com.crt", "issuance/ca/example.com.json"
	server := teststore.StartRedis(t)
	registry, ctx := prometheus.NewRegistry(), t.Context()
	cfg := storage.Config{Timeout: 500 * time.Millisecond, Registerer: registry,
		Shared: storage.Shared{URL: server.URL("/0"), TTL: time.Second, Copy: t.TempDir()}}
	s := openStore(t, cfg)
	must(t, eventually(t, func() error { return s.Store(ctx, crt, []byte("certificate")) }))
	must(t, eventually(t, func() error { return s.Store(ctx, ledger, []byte("orders")) }))
	var guarded context.Context
	var release func(context.Context) error
	must(t, eventually(t, func() (err error) { guarded, release, err = s.Guard(ctx, "l"); return err }))

	wantDown := func(s *storage.Store, reason trouble.Reason) {
		t.Helper()
		wantLoad(t, s, crt, "certificate")
		if keys, err := s.List(ctx, "certificates", false); err != nil || len(keys) != 1 {
			t.Errorf("List: got %q, %v", keys, err)
		}
		_, err := s.Load(ctx, ledger)
		for what, err := range map[string]error{"Load of an order": err, "Store": s.Store(ctx, crt, []byte("new")), "Delete": s.Delete(ctx, crt), "Writable": s.Writable(ctx)} {
			if e, ok := trouble.Of(err); !ok || e.Reason != reason {
				t.Errorf("%s: got %v, want a trouble that is %s", what, err, reason)
			}
		}
		if h := s.Health(); h.Up || h.Why == nil || h.Why.Reason != reason {
			t.Errorf("Health: got %+v", h)
		}
	}
	server.Pause()
	wantDown(s, trouble.Silent)
	if _, err := s.Load(context.WithoutCancel(guarded), crt); err == nil {
		t.Error("work under a lock was answered from the copy")
	}
	select {
	case <-guarded.Done():
		if !errors.Is(context.Cause(guarded), storage.ErrLockLost) {
			t.Errorf("the guarded work ended by %v", context.Cause(guarded))
		}
	case <-time.After(2 * time.Minute):
		t.Error("work goes on under a lock that cannot be kept")
	}
	if _, err := s.TryLock(ctx, "m"); err == nil {
		t.Error("a lock was taken while the store hangs")
	}
	if up := testutil.ToFloat64(gauge(t, registry, "wellkey_storage_up")); up != 0 {
		t.Errorf("wellkey_storage_up is %v", up)
	}
	server.Resume()
	must(t, eventually(t, func() error { return s.Store(ctx, crt, []byte("certificate")) }))
	_ = release(ctx) // It was lost.
	if h := s.Health(); !h.Up || h.Why != nil || h.Since.IsZero() {
		t.Errorf("Health: got %+v", h)
	}

	server.Kill()
	wantDown(s, trouble.Refused)
	cfg.Registerer = nil
	again := openStore(t, cfg) // a start meanwhile
	wantDown(again, trouble.Refused)
	server.Start() // empty
	must(t, eventually(t, func() error { return again.Writable(ctx) }))
	if _, err := again.Load(ctx, crt); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after a loss of the store: got %v, want that it does not exist", err)
	}
}

// gauge finds a metric of a registry.
func gauge(t *testing.T, registry *prometheus.Registry, name string) prometheus.Collector {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == name {
			g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name})
			g.Set(f.GetMetric()[0].GetGauge().GetValue())
			return g
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

// TestSharedQuarantine: what is moved away in a shared store is kept as it is.
func TestSharedQuarantine(t *testing.T) {
	t.Parallel()
	server, ctx := teststore.StartRedis(t), t.Context()
	s := openStore(t, storage.Config{Shared: storage.Shared{URL: server.URL("/0")}})
	for _, key := range []string{"d/1", "d/sub/2", "e"} {
		must(t, s.Store(ctx, key, []byte(key)))
	}
	must(t, s.Quarantine(ctx, "d", "bad"))
	must(t, s.Quarantine(ctx, "d", "gone already"))
	must(t, s.Quarantine(ctx, "e", "bad"))
	if s.Exists(ctx, "d") || s.Exists(ctx, "e") {
		t.Error("what was moved away is still there")
	}
	moved, err := s.List(ctx, "quarantine", true)
	must(t, err)
	for _, want := range []string{"/d/1", "/d/sub/2", "/e"} {
		if !strings.Contains(strings.Join(moved, "\n")+"\n", want+"\n") {
			t.Errorf("got %q, want %s among them", moved, want)
		}
	}
	for range 101 {
		must(t, s.Store(ctx, "x", nil))
		must(t, s.Quarantine(ctx, "x", "bad"))
	}
	if left, err := s.List(ctx, "quarantine", false); err != nil || len(left) != 100 {
		t.Errorf("%d items are left, %v, want 100", len(left), err)
	}
}
