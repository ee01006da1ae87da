package pause_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/pause"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFor(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lasts, want time.Duration
		err         error
	}{
		"the time passes":                     {time.Hour, time.Minute, nil},
		"the context ends in between":         {time.Second, time.Second, context.DeadlineExceeded},
		"the context has ended when it comes": {0, 0, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.lasts)
				defer cancel()
				began := time.Now()
				err := pause.For(ctx, time.Minute)
				if took := time.Since(began); took != test.want || !errors.Is(err, test.err) {
					t.Errorf("got %v after %v, want %v after %v", err, took, test.err, test.want)
				}
			})
		})
	}
}
