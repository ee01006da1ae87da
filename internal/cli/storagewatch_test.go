package cli

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

type provenStorage struct {
	mu     sync.Mutex
	err    error
	proofs int
}

func (s *provenStorage) Writable(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs++
	return s.err
}

// TestWatchStorage: a storage that stops taking writes is told once, and so is
// the end of that.
func TestWatchStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		store := &provenStorage{}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- watchStorage(store, proveStorage, zap.New(core))(ctx) }()
		for _, row := range []struct {
			err  error
			want string // the one new line; "" = none
		}{
			{nil, ""},
			{errors.New("read-only"), "storage does not take what is written; what is in use goes on from memory"},
			{errors.New("read-only"), ""},
			{nil, "storage can be written again"},
			{nil, ""},
		} {
			store.mu.Lock()
			store.err = row.err
			store.mu.Unlock()
			time.Sleep(proveStorage) // of the bubble
			synctest.Wait()
			got := ""
			for _, line := range logs.TakeAll() {
				got += line.Message
			}
			if got != row.want {
				t.Errorf("with the error %v: logged %q, want %q", row.err, got, row.want)
			}
		}
		cancel()
		if err := <-done; err != nil || store.proofs != 5 {
			t.Errorf("ended with %v after %d proofs, want nil after 5", err, store.proofs)
		}
	})
}
