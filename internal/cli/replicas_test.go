package cli_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/pause"
	"wellkey/internal/storage/redis"
	"wellkey/internal/testca"
	"wellkey/internal/teststore"
	"wellkey/internal/testworld"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// Replicas are wellkeys of one domain, each in a process of its own, since
// certmagic remembers challenges in a global of the process.
type replicas struct {
	*world // the first one; all of them see the same DNS, CA and Tesla
	places []*world
	key    keystore.Key
	common []string // settings
}

// newReplicas makes the places of n replicas with one key file.
func newReplicas(t *testing.T, n int, common ...string) *replicas {
	t.Helper()
	r := &replicas{world: newRegistrable(t)}
	text, key := newKey(t)
	file := filepath.Join(r.dir, "shared-key.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	r.key, r.common = key, append([]string{"KEY_FILE=" + file}, common...)
	r.places = []*world{r.world}
	for i := 1; i < n; i++ {
		host, _ := newHost()
		place, err := r.Beside(filepath.Join(r.dir, fmt.Sprint("replica", i+1)), host)
		if err != nil {
			t.Fatal(err)
		}
		beside := &world{World: place, t: t, ctx: r.ctx, dir: r.dir}
		t.Cleanup(beside.checkCanary)
		r.places = append(r.places, beside)
	}
	return r
}

func (r *replicas) execAll() []*testworld.Process {
	var all []*testworld.Process
	for _, place := range r.places {
		all = append(all, place.exec(r.common...))
	}
	return all
}

// challengeElsewhere points the domain at a replica that does not make the order,
// once it is known which one does, and where strangers ask for the challenge as fast
// as they can. It returns the one that orders.
func (r *replicas) challengeElsewhere() (orderedBy func() int) {
	var mu sync.Mutex
	by, flooded := -1, false
	r.CA.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != testca.NewOrderPath {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		for i, place := range r.places {
			if status, err := place.Status(r.ctx); err == nil && status.Sites[0].Certificate.Attempts > 0 {
				by = i
			}
		}
		if by >= 0 && !flooded {
			flooded = true
			elsewhere := r.places[(by+1)%len(r.places)]
			elsewhere.Lead(r.Domain)
			elsewhere.floodWithChallenges()
		}
		return false
	})
	return func() int { mu.Lock(); defer mu.Unlock(); return by }
}

// floodWithChallenges asks for a challenge of the domain, on both listeners, until the
// test ends, which wants some answers. Where nobody answers it pauses.
func (w *world) floodWithChallenges() {
	ctx, cancel := context.WithCancel(w.ctx)
	var all sync.WaitGroup
	var answers atomic.Int64
	w.t.Cleanup(func() {
		cancel()
		all.Wait()
		if answers.Load() == 0 {
			w.t.Error("the flood of challenges got no answer")
		}
	})
	flood := func(ask func() error) {
		all.Go(func() {
			for ctx.Err() == nil {
				if ask() != nil {
					_ = pause.For(ctx, 10*time.Millisecond)
				}
			}
		})
	}
	for range 8 {
		flood(func() error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.HTTPAddr)
			if err != nil {
				return err
			}
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			defer func() { _ = conn.Close() }()
			for {
				if _, err = fmt.Fprintf(conn, "GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: %s\r\n\r\n", w.Domain); err != nil {
					return err
				}
				if _, err = conn.Read(make([]byte, 4096)); err != nil {
					return err
				}
				answers.Add(1)
			}
		})
		dialer := tls.Dialer{Config: &tls.Config{ServerName: w.Domain, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true}}
		flood(func() error {
			conn, err := dialer.DialContext(ctx, "tcp", w.HTTPSAddr)
			if err == nil {
				_ = conn.Close()
			}
			return err
		})
	}
}

func sharedStores() map[string]func(*testing.T) []string {
	return map[string]func(*testing.T) []string{
		"redis": func(t *testing.T) []string { return []string{"STORAGE=" + teststore.StartRedis(t).URL("/0")} },
		"postgres": func(t *testing.T) []string {
			p := teststore.StartPostgres(t)
			return []string{"STORAGE=" + p.URL(teststore.Admin, p.Database()), "STORAGE_PASSWORD=" + teststore.AdminPassword}
		},
	}
}

// TestReplicas: three wellkeys on one store ask for one certificate, by a
// challenge that another one than the one that asks answers, and register once a
// region; all of them serve.
func TestReplicas(t *testing.T) {
	t.Parallel()
	for name, store := range sharedStores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReplicas(t, 3, store(t)...)
			orderedBy := r.challengeElsewhere()
			r.execAll()
			for _, place := range r.places {
				place.await("registered in both regions", func(s admin.Status) bool {
					site := s.Sites[0]
					return site.Certificate.Have && site.Registrations[0].State == registrar.Registered && site.Registrations[1].State == registrar.Registered
				})
				place.wantServed(r.key)
			}
			if by := orderedBy(); by < 0 {
				t.Error("nobody is known to have made the order")
			}
			if got := r.CA.Orders(); got != 1 {
				t.Errorf("%d certificates were ordered, want 1", got)
			}
			for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
				if got := r.Tesla.Count(fleetapi.OpRegister, region); got != 1 {
					t.Errorf("%d registrations were posted in %s, want 1", got, region)
				}
			}
			first := r.places[0].fetch().TLS.PeerCertificates[0]
			for i, place := range r.places[1:] {
				if !place.fetch().TLS.PeerCertificates[0].Equal(first) {
					t.Errorf("replica %d serves another certificate", i+2)
				}
			}
		})
	}
}

// awaitAllRegistered waits until every replica shows the registrations and serves.
func (r *replicas) awaitAllRegistered() {
	r.t.Helper()
	for _, place := range r.places {
		place.await("registered in both regions", func(s admin.Status) bool {
			site := s.Sites[0]
			return site.Certificate.Have && site.Registrations[0].State == registrar.Registered && site.Registrations[1].State == registrar.Registered
		})
	}
}

// wantNothingMore wants what the first start has cost.
func (r *replicas) wantNothingMore() {
	r.t.Helper()
	if got := r.CA.Orders(); got != 1 {
		r.t.Errorf("%d certificates were ordered, want 1", got)
	}
	r.wantPosts(2)
}

// TestReplicasWithoutTheirStore: while the store is away, all replicas serve on,
// also one that starts meanwhile; they say so; and when it is back, empty, nothing
// is ordered or registered again.
func TestReplicasWithoutTheirStore(t *testing.T) {
	t.Parallel()
	store := teststore.StartRedis(t, "--requirepass", "canary-of-the-store")
	r := newReplicas(t, 2, "STORAGE=redis://:canary-of-the-store@"+store.Addr+"/0")
	r.canary.forbid("the password of the store", "canary-of-the-store")
	r.places[1].canary.forbid("the password of the store", "canary-of-the-store")
	processes := r.execAll()
	r.awaitAllRegistered()
	for _, place := range r.places { // of shared stores, this much is told
		if s := place.await("the storage", func(s admin.Status) bool { return s.Storage != nil }); !s.Storage.Up || !s.Storage.Shared {
			t.Errorf("the storage is %+v", s.Storage)
		}
	}

	store.Kill()
	r.kill(processes[1])
	r.places[1].exec(r.common...)
	served, err := r.places[1].AwaitFetch(r.ctx)
	if err != nil {
		t.Fatalf("after a start without the store: %v", err)
	}
	if string(served.Body) != string(r.key.PEM()) {
		t.Errorf("after a start without the store, %q is served", served.Body)
	}
	r.wantServed(r.key)
	for _, place := range r.places {
		s := place.await("the storage that is down, and what was known", func(s admin.Status) bool {
			return s.Storage != nil && !s.Storage.Up && s.Sites[0].Registrations[0].State == registrar.Registered
		})
		if s.Storage.Reason != "refused" || s.Storage.Fix == "" || s.Sites[0].Summary.Check != "storage" {
			t.Errorf("the storage is %+v, the summary %+v", s.Storage, s.Sites[0].Summary)
		}
	}

	store.Start() // empty
	for _, place := range r.places {
		place.await("the storage again", func(s admin.Status) bool { return s.Storage.Up })
		place.wantServed(r.key)
	}
	// The certificate is there again at once, and not at the next attempt.
	r.await("the certificate in the store", func(admin.Status) bool {
		conn, err := net.Dial("tcp", store.Addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		_, err = fmt.Fprint(conn, "AUTH canary-of-the-store\r\nHKEYS {wellkey}:items\r\nQUIT\r\n")
		all, readErr := io.ReadAll(conn)
		return err == nil && readErr == nil && strings.Contains(string(all), r.Domain+".crt")
	})
	r.wantNothingMore()
}

// TestReplicasKeepTheKeyToThemselves: the private key of the domain is nowhere in
// the store, and with a sealing key no private key at all.
func TestReplicasKeepTheKeyToThemselves(t *testing.T) {
	t.Parallel()
	store := teststore.StartRedis(t)
	r := newReplicas(t, 2, "STORAGE="+store.URL("/0"))
	seal := filepath.Join(r.dir, "seal")
	if err := os.WriteFile(seal, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.common = append(r.common, "STORAGE_KEY_FILE="+seal)
	r.execAll()
	r.awaitAllRegistered()
	r.wantNothingMore()
	private, err := os.ReadFile(filepath.Join(r.dir, "shared-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := redis.New(redis.Config{URL: store.URL("/0")})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	keys, err := all.List(r.ctx, "", true)
	if err != nil || len(keys) == 0 {
		t.Fatalf("the store holds %q, %v", keys, err)
	}
	secrets := append(privateKeys("the shared key", private), spelling{"a private key", "PRIVATE KEY"})
	for _, key := range keys {
		if value, err := all.Load(r.ctx, key); err == nil { // else it is a directory
			find(r.world, key, value, secrets)
		}
	}
	for path, text := range r.places[1].files() {
		find(r.world, path, text, secrets)
	}
}

// TestReplicasAreKilled: whichever replica is killed, the others serve meanwhile,
// it serves as soon as it is started again, and nothing is asked for twice.
func TestReplicasAreKilled(t *testing.T) {
	t.Parallel()
	r := newReplicas(t, 3, "STORAGE="+teststore.StartRedis(t).URL("/0"))
	processes := r.execAll()
	r.awaitAllRegistered()
	for n := range 50 {
		r.goOn()
		for _, place := range r.places {
			place.goOn()
		}
		victim := n % len(r.places)
		r.kill(processes[victim])
		for i, place := range r.places {
			if i != victim {
				place.wantServed(r.key)
			}
		}
		processes[victim] = r.places[victim].exec(r.common...)
		if visit, err := r.places[victim].AwaitFetch(r.ctx); err != nil || string(visit.Body) != string(r.key.PEM()) {
			t.Fatalf("after kill %d: %q, %v", n+1, visit.Body, err)
		}
	}
	r.awaitAllRegistered()
	r.wantNothingMore()
}
