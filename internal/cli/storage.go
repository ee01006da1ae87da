package cli

import (
	"fmt"
	"path/filepath"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/config"
	"wellkey/internal/storage"
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

// openStorage opens the storage of the settings; who opens it closes it. A copy of
// a shared store is kept for the one that serves alone, which has a registry.
func openStorage(s *config.Settings, registry prometheus.Registerer, log *zap.Logger) (*storage.Store, error) {
	cfg, err := storageConfig(s)
	if err != nil {
		return nil, err
	}
	cfg.Registerer, cfg.Logger = registry, log
	if registry != nil {
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
