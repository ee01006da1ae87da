package certs_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/certmagic"

	"wellkey/server/certs"
)

// A countingStorage counts what is written and deleted.
type countingStorage struct {
	certmagic.Storage
	changes atomic.Int64
}

func (s *countingStorage) Store(ctx context.Context, key string, value []byte) error {
	s.changes.Add(1)
	return s.Storage.Store(ctx, key, value)
}

func (s *countingStorage) Delete(ctx context.Context, key string) error {
	s.changes.Add(1)
	return s.Storage.Delete(ctx, key)
}

// TestRestartOfManyWritesNothing: with a hundred thousand domains, whatever is
// written of each at a start or a stop makes minutes of it. Of few domains, both are
// noted, for the sake of crash loops.
func TestRestartOfManyWritesNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		domains     int
		first, then int64 // changes of the storage, in all
	}{
		{1, 4, 4}, // at the start and at the stop, each in two copies
		{100, 200, 0},
	} {
		store := &countingStorage{Storage: &certmagic.FileStorage{Path: t.TempDir()}}
		for start, want := range []int64{test.first, test.then, test.then} {
			store.changes.Store(0)
			m, err := certs.New(certs.Config{Storage: store, Directory: "https://127.0.0.1:1/", TLSAddr: func() string { return "" }})
			if err != nil {
				t.Fatal(err)
			}
			name := func(i int) string { return fmt.Sprintf("n%d.of%d.quiet.test", i, test.domains) }
			for i := range test.domains {
				m.Add(name(i))
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- m.Run(ctx) }()
			await(t, "that all were looked at", func() bool {
				for i := range test.domains {
					if m.Status(name(i)).NextAttempt.IsZero() {
						return false
					}
				}
				return true
			})
			stop()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if got := store.changes.Load(); got != want {
				t.Errorf("%d domains, start %d: %d changes of the storage, want %d", test.domains, start+1, got, want)
			}
		}
	}
}
