package certs_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// A slowStorage takes its time for each look, and knows how many there are at once.
type slowStorage struct {
	certmagic.Storage
	takes  time.Duration
	stored atomic.Bool // there is a challenge, for whoever begins to look now

	mu          sync.Mutex     // guards what follows
	now         map[string]int // by key
	looks, most int
	broken      error // of a look whose context was done
}

func (s *slowStorage) Load(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	if s.now == nil {
		s.now = map[string]int{}
	}
	s.looks++
	s.now[key]++
	total := 0
	for _, n := range s.now {
		total += n
	}
	s.most = max(s.most, total)
	if s.now[key] > 1 {
		panic("two look at the same item")
	}
	s.mu.Unlock()
	found := s.stored.Load()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now[key]--
	}()
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken = ctx.Err()
		return nil, ctx.Err()
	}
	if !found {
		return nil, fs.ErrNotExist
	}
	return []byte(key), nil
}

// TestFloodOfChallenges: a thousand clients that ask all the time make a few looks,
// and who asks after a challenge was stored gets it, however many ask.
func TestFloodOfChallenges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowStorage{takes: 10 * time.Millisecond}
		l := certs.NewLookups(store)
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
		defer cancel()
		var flood sync.WaitGroup
		for range 1000 {
			flood.Go(func() {
				for ctx.Err() == nil {
					was := store.stored.Load()
					if _, err := l.Load(ctx, "a"); was && err != nil && ctx.Err() == nil {
						t.Errorf("a challenge that was stored before is not found: %v", err)
					}
				}
			})
		}
		for range 50 {
			store.stored.Store(false)
			time.Sleep(37 * time.Millisecond)
			store.stored.Store(true)
			began := time.Now()
			if value, err := l.Load(ctx, "a"); err != nil || string(value) != "a" {
				t.Errorf("the validator got %q, %v", value, err)
			}
			if took := time.Since(began); took > 130*time.Millisecond {
				t.Errorf("the validator waited for %v", took)
			}
		}
		flood.Wait()
		if store.looks > 6000/60+1 {
			t.Errorf("in 6 s there were %d looks, want one every 60 ms", store.looks)
		}
		time.Sleep(time.Second)
		if n := l.Items(); n != 0 {
			t.Errorf("%d items are remembered", n)
		}
	})
}

// TestChallengesOfManyNames: of many names, too, there are few looks at a time.
func TestChallengesOfManyNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowStorage{takes: 10 * time.Millisecond}
		l := certs.NewLookups(store)
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				if _, err := l.Load(t.Context(), fmt.Sprint(i)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if store.looks != 1000 || store.most != 4 {
			t.Errorf("there were %d looks, %d at a time, want 1000, 4 at a time", store.looks, store.most)
		}
		synctest.Wait()
	})
}

// TestLookOutlastsItsClient: who goes away breaks off no look, and a storage that hangs
// holds nobody for long.
func TestLookOutlastsItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowStorage{takes: 2 * time.Second}
		l := certs.NewLookups(store)
		impatient, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		var all sync.WaitGroup
		all.Go(func() { _, _ = l.Load(impatient, "a") }) // it looks
		synctest.Wait()
		for _, ctx := range []context.Context{impatient, t.Context()} {
			all.Go(func() { // they wait for the next
				began := time.Now()
				_, err := l.Load(ctx, "a")
				if want := fs.ErrNotExist; ctx != impatient && !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		}
		all.Wait()
		if store.broken != nil || store.looks != 2 {
			t.Errorf("of %d looks, one was broken off: %v", store.looks, store.broken)
		}

		store.takes = time.Hour
		began := time.Now()
		for range 3 {
			all.Go(func() {
				if _, err := l.Load(t.Context(), "b"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("of a storage that hangs: got %v", err)
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("a storage that hangs held somebody for %v", took)
		}
		time.Sleep(time.Second)
		if n := l.Items(); n != 0 {
			t.Errorf("%d items are remembered", n)
		}
	})
}

// TestStrangersReachNoStorage: the storage is asked for challenges of our names alone,
// and for none where a record is the proof. What another replica stored is answered.
func TestStrangersReachNoStorage(t *testing.T) {
	t.Parallel()
	for name, proved := range map[string]bool{"by listeners": false, "by a record": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, strings.ReplaceAll(name, " ", "-")+".lookup.test", testca.Config{})
			cfg := r.config(t)
			store := &tokenStorage{Storage: cfg.Storage}
			cfg.Storage = store
			if proved {
				cfg.DNS = noSolver{}
			}
			m := r.start(t, cfg)
			m.settle(t)
			store.looks.Store(0)

			ask := func(host string) string {
				conn, err := net.Dial("tcp", r.http.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_, _ = fmt.Fprintf(conn, "GET /.well-known/acme-challenge/token HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
				answer, err := io.ReadAll(conn)
				if err != nil {
					t.Errorf("%.20q: %v", host, err)
				}
				return string(answer)
			}
			hello := func(name string) error {
				conn, err := tls.Dial("tcp", r.tls.Addr().String(), &tls.Config{ServerName: name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
				if err == nil {
					_ = conn.Close()
				}
				return err
			}
			for _, stranger := range []string{"example.com", "", "127.0.0.1", strings.Repeat("a", 300), "www." + r.domain, r.domain + "."} {
				if answer := ask(stranger); !strings.HasPrefix(answer, "HTTP/1.1 404") {
					t.Errorf("%.20q: got %.100q", stranger, answer)
				}
			}
			for _, stranger := range []string{"example.com", "www." + r.domain, "a.b"} {
				if hello(stranger) == nil {
					t.Errorf("%q has a certificate", stranger)
				}
			}
			if n := store.looks.Load(); n != 0 {
				t.Errorf("strangers made %d looks", n)
			}
			for kind, answered := range map[string]func() bool{
				acme.ChallengeTypeHTTP01:    func() bool { return strings.HasSuffix(ask(strings.ToUpper(r.domain)+":80"), "\r\n\r\ntoken.thumb") },
				acme.ChallengeTypeTLSALPN01: func() bool { return hello(r.domain) == nil },
			} {
				if answered() {
					t.Errorf("%s: answered before there is one", kind)
				}
				of := acme.Challenge{Type: kind, Token: "token", KeyAuthorization: "token.thumb", Identifier: acme.Identifier{Type: "dns", Value: r.domain}}
				stored, err := json.Marshal(of)
				if err != nil {
					t.Fatal(err)
				}
				key := func(issuer, domain string) string {
					return "acme/" + keys.Safe(issuer) + "/challenge_tokens/" + domain + ".json"
				}
				r.put(t, key, stored)
				if got := answered(); got == proved {
					t.Errorf("%s: of another replica: answered %v", kind, got)
				}
				if err := cfg.Storage.Delete(t.Context(), key(r.issuerKey(), r.domain)); err != nil {
					t.Fatal(err)
				}
			}
			if n := store.looks.Load(); (n == 0) != proved {
				t.Errorf("for our name there were %d looks", n)
			}
		})
	}
}

// tokenStorage counts the looks for challenges.
type tokenStorage struct {
	certmagic.Storage
	looks atomic.Int32
}

func (s *tokenStorage) Load(ctx context.Context, key string) ([]byte, error) {
	if strings.Contains(key, "/challenge_tokens/") {
		s.looks.Add(1)
	}
	return s.Storage.Load(ctx, key)
}

// noSolver is one whose zone cannot be changed.
type noSolver struct{}

func (noSolver) Present(context.Context, acme.Challenge) error { return http.ErrNotSupported }
func (noSolver) CleanUp(context.Context, acme.Challenge) error { return nil }
