package cli

import (
	"context"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/keystore"
	"wellkey/registrar"
)

// loadTimeout bounds a storage that hangs, as a network file system may.
const loadTimeout = 10 * time.Second

// accepted returns what tells the registrar whether the operator allowed one key
// to replace another: the setting accept_key allows its key to replace any, and
// "wellkey rotate" leaves word in the storage. That is read anew each time, since
// it is given while we run; where it cannot be read, nothing is allowed.
func accepted(site *config.Site, store registrar.Storage, log *zap.Logger) func(key, over keystore.Key) bool {
	return func(key, over keystore.Key) bool {
		if site.AcceptKey != "" && key.Fingerprint() == site.AcceptKey {
			return true
		}
		ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
		defer cancel()
		acceptance, err := registrar.LoadAcceptance(ctx, store, site.Domain)
		if err != nil {
			log.Error("accepted key not readable, so nothing is replaced; run wellkey rotate again", zap.Error(err))
		}
		return acceptance.Allows(key, over)
	}
}
