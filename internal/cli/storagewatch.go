package cli

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// proveStorage is how often it is proved that the storage can be written. Weeks
// may pass before anything must be, and by then it is late to learn of a disk that
// has turned read-only; a proof writes 8 KiB.
const proveStorage = 5 * time.Minute

// A prover is a storage that can prove that it takes what is written. It sets
// wellkey_storage_writable.
type prover interface {
	Writable(ctx context.Context) error
}

// watchStorage proves the storage every so often until ctx is done. It is logged
// when it fails and when that is over.
func watchStorage(store prover, every time.Duration, log *zap.Logger) func(context.Context) error {
	log = log.Named("storage")
	return func(ctx context.Context) error {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		failing := false
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
			err := store.Writable(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil && !failing:
				log.Error("storage does not take what is written; what is in use goes on from memory", zap.Error(err))
			case err == nil && failing:
				log.Info("storage can be written again")
			}
			failing = err != nil
		}
	}
}
