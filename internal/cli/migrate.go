package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"wellkey/internal/secret"
	"wellkey/internal/storage"
	"wellkey/internal/tty"
)

type migrateOptions struct {
	keyFile   string
	overwrite bool
}

func migrateCommand(p Process) *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate FROM TO",
		Short: "Copy certificates, accounts and records to another storage",
		Long: `Copy all state from one storage to another: certificates, the accounts at the
certificate authorities, what was ordered, and what Tesla said. Each item is
read back and compared. The key of the domain is no part of it: it is a file.

FROM and TO are each one of
  a data directory (its state is in the folder "state" within),
  redis://user@host:6379/0, rediss://..., postgres://user@host:5432/database,
  a file that holds such a URL with its password, as for storage_file.

Stop wellkey first, or run this once more after it has stopped: a second run
copies what has changed. One that was broken off goes on. Locks stay behind, and
so does the quarantine. What is another one at TO, and newer, keeps the command
from writing anything, unless --overwrite is given.

Exit status: 0 all is there, 1 it failed, 2 wrong usage, 3 TO has newer items.`,
		Example: `  wellkey migrate /data /run/secrets/storage
  wellkey migrate redis://old.example.com:6379/0 rediss://new.example.com:6379/0`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return &usageError{fmt.Errorf("migrate takes two storages, FROM and TO, but was given %d arguments; see wellkey migrate --help", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return migrate(cmd.Context(), p, o, args[0], args[1]) },
	}
	cmd.Flags().StringVar(&o.keyFile, "storage-key-file", "", "keys that open what is sealed at FROM; the first one seals at TO")
	cmd.Flags().BoolVar(&o.overwrite, "overwrite", false, "replace items at TO, also where they are newer")
	return cmd
}

func migrate(ctx context.Context, p Process, o migrateOptions, from, to string) (err error) {
	keys := storage.Keys{}
	if o.keyFile != "" {
		text, err := os.ReadFile(o.keyFile)
		if err == nil {
			keys, err = storage.ParseKeys(string(text))
		}
		if err != nil {
			return &usageError{fmt.Errorf("--storage-key-file cannot be used: %w", err)}
		}
	}
	source, err := migrationEnd("FROM", from, keys)
	if err != nil {
		return err
	}
	target, err := migrationEnd("TO", to, keys)
	if err != nil {
		return err
	}
	if source.Path == target.Path && source.Shared == target.Shared {
		return &usageError{errors.New("FROM and TO are the same storage")}
	}
	if source.Shared.URL == "" {
		if _, err := os.Stat(source.Path); err != nil { // or else it would be made
			return &usageError{fmt.Errorf("FROM holds no state of a wellkey: %w", err)}
		}
	}
	var stores [2]*storage.Store
	for i, cfg := range []storage.Config{source, target} {
		if stores[i], err = storage.Open(cfg); err != nil {
			return err
		}
		defer func() { _ = stores[i].Close() }() // what was written is written
		if h := stores[i].Health(); !h.Up {
			return h.Why
		}
	}
	m, err := storage.Migrate(ctx, stores[0], stores[1], o.overwrite)
	if err != nil {
		return fmt.Errorf("%w\n%d items were copied; run it again to go on", err, m.Copied)
	}
	out := tty.New(p.Stdout, p.Environ)
	if len(m.Newer) > 0 {
		out.Print(out.Wrap(0, fmt.Sprintf("Nothing was copied: %s has other items than %s, and they are newer:", stores[1], stores[0])) + "\n")
		for _, key := range m.Newer {
			out.Print("  " + key + "\n")
		}
		out.Print(out.Wrap(0, "If they may go, give --overwrite.") + "\n")
		return exitCode(exitUndecided)
	}
	out.Print(out.Wrap(0, fmt.Sprintf("Copied %d items from %s to %s, and read each back; %d were there already.", m.Copied, stores[0], stores[1], m.Same)) + "\n")
	return nil
}

// migrationEnd returns what an argument names.
func migrationEnd(name, text string, keys storage.Keys) (storage.Config, error) {
	cfg := storage.Config{Keys: keys}
	fault := func(format string, args ...any) (storage.Config, error) {
		return cfg, &usageError{fmt.Errorf(name+" "+format, args...)}
	}
	inFile := false
	if !strings.Contains(text, "://") {
		info, err := os.Stat(text)
		if err != nil && name == "FROM" {
			return fault("is neither a URL nor there: %w", err)
		}
		if err != nil || info.IsDir() {
			cfg.Path = filepath.Join(filepath.Clean(text), "state")
			return cfg, nil
		}
		content, err := os.ReadFile(text)
		if err != nil {
			return fault("cannot be read: %w", err)
		}
		text, inFile = strings.TrimSpace(string(content)), true
	}
	u, err := url.Parse(text)
	if err != nil {
		return fault("is no URL of a storage: write it as redis://user@host:6379/0 or postgres://user@host:5432/database")
	}
	if password, given := u.User.Password(); given {
		if !inFile {
			return fault("has a password in it, and what is on the command line can be read by every user of the machine (ps, /proc): write the whole URL into a file, and name that")
		}
		cfg.Shared.Password = secret.New(password)
		u.User = url.User(u.User.Username())
	}
	cfg.Shared.URL = u.String()
	if err := storage.CheckURL(cfg.Shared.URL); err != nil {
		return fault("cannot be used: %w", err)
	}
	return cfg, nil
}
