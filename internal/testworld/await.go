package testworld

import (
	"context"
	"net/http"
	"time"
)

// lookInterval is how often the functions that await something look for it, where
// nothing tells them that it came.
const lookInterval = 10 * time.Millisecond

// until calls look until it returns true; the error is that of ctx.
func until(ctx context.Context, look func() bool) error {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for !look() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// AwaitFetch fetches the key from outside until it comes with status 200.
func (w *World) AwaitFetch(ctx context.Context) (visit Visit, err error) {
	err = until(ctx, func() bool {
		var failed error
		visit, failed = w.Fetch(ctx)
		return failed == nil && visit.Status == http.StatusOK
	})
	return visit, err
}
