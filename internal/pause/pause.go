// Package pause waits for a time to pass, and for no longer than a context lasts.
package pause

import (
	"context"
	"time"
)

// For returns nil after d, or the context's error as soon as that is done.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
