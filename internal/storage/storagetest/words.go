package storagetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"wellkey/internal/storage/trouble"
)

// WantTrouble writes into a store that cannot be used, as storage.Store does, and
// wants to be told why, with all of these words. The password, where a test has one
// that must not be shown, is "canary".
func WantTrouble(t *testing.T, s Storage, reason trouble.Reason, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	err := s.Store(ctx, "k", []byte("v"))
	e, ok := trouble.Of(err)
	if !ok || e.Reason != reason {
		t.Fatalf("got %v, want a trouble that is %s", err, reason)
	}
	for _, want := range words {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the password is shown: %q", err)
	}
}
