package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/caddyserver/certmagic"

	"wellkey/internal/durable"
	"wellkey/internal/storage/tree"
)

// Store makes value that of key, durably. A value that is already there is not
// written again. A file where key needs a directory, or the other way round,
// goes to quarantine.
func (d *Directory) Store(ctx context.Context, key string, value []byte) error {
	file, err := d.file(key)
	if err != nil {
		return err
	}
	value = bytes.Clone(value) // The caller may use it again while we still write.
	var wrote bool
	wrote, err = do(ctx, d, fmt.Sprintf("storing %q", key), func(ctx context.Context) (bool, error) {
		// Values of one key are written in turn, so that one whose write hangs
		// and ends late cannot replace a newer one.
		turn := d.turn(key)
		turn.Lock()
		defer turn.Unlock()
		old, readErr := os.ReadFile(file)
		if err := mayWrite(ctx); err != nil {
			return false, err // Our caller has left, and may have stored something newer; or the lock is lost.
		}
		if readErr == nil && bytes.Equal(old, value) {
			return false, nil
		}
		err := d.write(file, value)
		if err != nil && d.clear(key, err) {
			err = d.write(file, value)
		}
		return true, err
	}, nil)
	if err != nil {
		d.metrics.failed(err)
		return d.explainLock(err)
	}
	if wrote {
		d.metrics.writable.Set(1)
	}
	return nil
}

func (d *Directory) write(file string, value []byte) error {
	if err := durable.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(file, value, 0o600)
}

// clear moves what is in the way of key to quarantine, if that is why it could
// not be written.
func (d *Directory) clear(key string, why error) bool {
	if !errors.Is(why, syscall.ENOTDIR) && !errors.Is(why, syscall.EISDIR) && !errors.Is(why, fs.ErrExist) {
		return false
	}
	key = tree.Trim(key)
	for end := range len(key) {
		if key[end] != '/' {
			continue
		}
		if info, err := os.Stat(d.under(key[:end])); err == nil && !info.IsDir() {
			return d.quarantine(key[:end], "a file where a directory must be") == nil
		}
	}
	if info, err := os.Stat(d.under(key)); err == nil && info.IsDir() {
		return d.quarantine(key, "a directory where a file must be") == nil
	}
	return false
}

// Load returns the value of key, or an error that is fs.ErrNotExist.
func (d *Directory) Load(ctx context.Context, key string) ([]byte, error) {
	file, err := d.file(key)
	if err != nil {
		return nil, err
	}
	value, err := do(ctx, d, fmt.Sprintf("loading %q", key), func(context.Context) ([]byte, error) {
		return os.ReadFile(file)
	}, nil)
	if err != nil {
		return nil, d.explainRead(err)
	}
	return value, nil
}

// Delete removes key and all keys below it. A key that is not there is no error.
func (d *Directory) Delete(ctx context.Context, key string) error {
	file, err := d.file(key)
	if err != nil {
		return err
	}
	err = try(ctx, d, fmt.Sprintf("deleting %q", key), func(ctx context.Context) error {
		turn := d.turn(key)
		turn.Lock()
		defer turn.Unlock()
		if err := mayWrite(ctx); err != nil {
			return err
		}
		return durable.RemoveAll(file)
	})
	if err != nil {
		return d.explain(err)
	}
	return nil
}

// Exists tells whether key is there, as a value or as a directory of such.
func (d *Directory) Exists(ctx context.Context, key string) bool {
	_, err := d.Stat(ctx, key)
	return err == nil
}

// List returns the keys below prefix, directories among them: the next level
// only, or all. The error is fs.ErrNotExist where there is nothing of that name.
func (d *Directory) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	top, err := d.name(prefix)
	if err != nil {
		return nil, err
	}
	keys, err := do(ctx, d, fmt.Sprintf("listing %q", prefix), func(ctx context.Context) ([]string, error) {
		var keys []string
		err := filepath.WalkDir(top, func(file string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist) && file != top:
				return nil // deleted while we walk
			case err != nil:
				return err
			case file == top || durable.IsTemp(entry.Name()):
				return ctx.Err()
			}
			rest, err := filepath.Rel(top, file)
			if err != nil {
				return err
			}
			keys = append(keys, path.Join(prefix, filepath.ToSlash(rest)))
			if entry.IsDir() && !recursive {
				return filepath.SkipDir
			}
			return ctx.Err()
		})
		return keys, err
	}, nil)
	if err != nil {
		return nil, d.explainRead(err)
	}
	return keys, nil
}

// Stat describes key. The error is fs.ErrNotExist where it is not there.
func (d *Directory) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	file, err := d.name(key)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	info, err := do(ctx, d, fmt.Sprintf("looking at %q", key), func(context.Context) (fs.FileInfo, error) {
		return os.Stat(file)
	}, nil)
	if err != nil {
		return certmagic.KeyInfo{}, d.explainRead(err)
	}
	return certmagic.KeyInfo{Key: key, Modified: info.ModTime(), Size: info.Size(), IsTerminal: !info.IsDir()}, nil
}

// name returns the path of key, which may be the directory itself.
func (d *Directory) name(key string) (string, error) {
	cleaned, err := tree.Clean(filepath.ToSlash(key))
	if err != nil {
		return "", err
	}
	return d.under(cleaned), nil
}

// file is name for a key that may not be the directory itself.
func (d *Directory) file(key string) (string, error) {
	cleaned, err := tree.Item(filepath.ToSlash(key))
	if err != nil {
		return "", err
	}
	return d.under(cleaned), nil
}

func (d *Directory) under(key string) string { return filepath.Join(d.path, filepath.FromSlash(key)) }

func (d *Directory) turn(key string) interface {
	Lock()
	Unlock()
} {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(tree.Trim(key))) // A hash takes all.
	return &d.writes[hash.Sum32()%uint32(len(d.writes))]
}
