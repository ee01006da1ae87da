package cli

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/admin"
	"wellkey/internal/config"
	"wellkey/internal/finding"
	"wellkey/internal/phrase"
	"wellkey/internal/storage"
	"wellkey/internal/storage/trouble"
	"wellkey/registrar"
)

// storageConfig returns where the settings keep state. The error is a fault of
// the settings.
func storageConfig(s *config.Settings) (storage.Config, error) {
	cfg := storage.Config{Path: filepath.Join(s.DataDir, "state")}
	if !s.Storage.Keys.IsZero() {
		keys, err := storage.ParseKeys(s.Storage.Keys.Reveal())
		if err != nil {
			return cfg, &usageError{fmt.Errorf("storage_key_file holds no key: %w; make one: openssl rand -base64 32", err)}
		}
		cfg.Keys = keys
	}
	if s.Storage.URL != "" {
		if err := storage.CheckURL(s.Storage.URL); err != nil {
			return cfg, &usageError{fmt.Errorf("the URL in storage cannot be used: %w", err)}
		}
		cfg.Shared = storage.Shared{URL: s.Storage.URL, Password: s.Storage.Password, Roots: s.Storage.Roots}
	}
	return cfg, nil
}

// openStorage opens the storage of the settings; who opens it closes it. The one
// that serves, which has a registry, has a copy of a shared store, and proves later
// that a directory can be written: visitors do not wait for that.
func openStorage(s *config.Settings, registry prometheus.Registerer, log *zap.Logger) (*storage.Store, error) {
	cfg, err := storageConfig(s)
	if err != nil {
		return nil, err
	}
	cfg.Registerer, cfg.Logger = registry, log
	if registry != nil {
		cfg.ProveLater = true
		cfg.Shared.Copy = filepath.Join(s.DataDir, "copy")
	}
	return storage.Open(cfg)
}

// useStorage is openStorage for a command.
func useStorage(s *config.Settings) (registrar.Storage, func(), error) {
	store, err := openStorage(s, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	return store, func() { _ = store.Close() }, nil // what was written is written
}

// lookIntoStorage is useStorage for one that only looks: no directory is made or
// tried out.
func lookIntoStorage(s *config.Settings) (registrar.Storage, func(), error) {
	if s.Storage.URL != "" {
		return useStorage(s)
	}
	return &certmagic.FileStorage{Path: filepath.Join(s.DataDir, "state")}, func() {}, nil
}

// storageView says how the storage is.
func (d *daemon) storageView() admin.Storage {
	h := d.store.Health()
	view := admin.Storage{Name: h.Name, Shared: h.Shared, Up: h.Up, Since: h.Since}
	if why := h.Why; why != nil {
		view.Reason, view.Seen, view.Cause, view.Fix = string(why.Reason), why.Seen, why.Cause, why.Fix
	}
	return view
}

// examineStorage says how the shared storage of the settings is, for the doctor. It
// writes nothing. The zero finding is that there is none.
func examineStorage(ctx context.Context, s *config.Settings) finding.Finding {
	if s.Storage.URL == "" {
		return finding.Finding{}
	}
	f := finding.Finding{ID: "storage"}
	cfg, err := storageConfig(s)
	if err == nil {
		cfg.LookOnly = true
		var store *storage.Store
		if store, err = storage.Open(cfg); err == nil {
			defer func() { _ = store.Close() }() // nothing was written
			err = store.Examine(ctx)
			f.Status, f.Seen = finding.OK, "The storage "+store.String()+" answers, and lets us in."
			if ephemeral, why := store.Ephemeral(ctx); err == nil && ephemeral {
				f.Status, f.Seen = finding.Warn, phrase.Sentence(why)
				f.Cause, f.Fix = "It was set up as a cache.", "Make it keep what it stores, or name another in storage; certificates that are lost are ordered again, and authorities give few."
			}
		}
	}
	if err == nil {
		return f
	}
	f.Status, f.Seen = finding.Fail, phrase.Sentence(err.Error())
	f.Cause, f.Fix = "The settings and the storage do not go together.", "Correct the setting that is named there."
	if why, ok := trouble.Of(err); ok {
		f.Seen = "The storage " + why.Store + " cannot be used: " + why.Seen + "."
		f.Cause, f.Fix = phrase.Sentence(why.Cause), phrase.Sentence(why.Fix)
	}
	return f
}
