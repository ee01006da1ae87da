// Package durable writes small files so that a crash, at any moment, leaves the
// old content or the new one, never half of either, and so that what was written
// before a successful return survives a loss of power.
//
// Every write goes to a temporary file in the same directory first, named
// ".NAME.tmp-*" and readable by its owner only until it is complete. A crash may
// leave one behind; nothing reads it, and it may be deleted.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// WriteFile puts data into the file at path, with exactly the permissions of
// mode whatever the umask, replacing a file of that name. The directory must
// exist.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	temp, err := writeTemp(path, data, mode)
	if err != nil {
		return fmt.Errorf("writing %q: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp) // The rename is the error to tell.
		return fmt.Errorf("writing %q: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// CreateFile is WriteFile for a name that must be new. If anything has the name,
// even a symbolic link to nowhere, it touches nothing and returns an error that
// is fs.ErrExist; of several callers at once, in any number of processes,
// exactly one succeeds.
func CreateFile(path string, data []byte, mode fs.FileMode) error {
	return createFile(path, data, mode, os.Link)
}

func createFile(path string, data []byte, mode fs.FileMode, link func(oldname, newname string) error) error {
	temp, err := writeTemp(path, data, mode)
	if err != nil {
		return fmt.Errorf("creating %q: %w", path, err)
	}
	// Rename would replace a file that appeared meanwhile; a hard link does not.
	err = link(temp, path)
	_ = os.Remove(temp) // It has the second name now, or is of no use.
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// File systems without hard links (vfat, some network mounts) still
		// have O_EXCL. There, and only there, a crash can leave a short file.
		err = writeNew(path, data, mode)
	}
	if err != nil {
		return fmt.Errorf("creating %q: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// MkdirAll makes the directory at path and its missing parents, each with the
// permissions of mode, and makes their names durable.
func MkdirAll(path string, mode fs.FileMode) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, mode); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, mode); errors.Is(err, fs.ErrExist) {
		// Somebody else was quicker, which is fine if it is a directory.
		if info, statErr := os.Stat(path); statErr != nil || !info.IsDir() {
			return fmt.Errorf("making directory %q: %w", path, err)
		}
	} else if err != nil {
		return fmt.Errorf("making directory %q: %w", path, err)
	}
	return syncDir(parent)
}

// Remove deletes the file at path, durably. A file that is not there is no error.
func Remove(path string) error {
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("removing %q: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// RemoveAll deletes what is at path, with all below it, durably. A path that is
// not there is no error.
func RemoveAll(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("removing %q: %w", path, err)
	}
	if err := syncDir(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil // Somebody deletes more than we, at the same time.
}

// Rename moves what is at from to the name to, on the same file system, durably.
// A file at to is replaced.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("moving %q: %w", from, err)
	}
	// The new name first: after a crash there may be two, but never none.
	return errors.Join(syncDir(filepath.Dir(to)), syncDir(filepath.Dir(from)))
}

// IsTemp tells whether name, without a directory, is one of those that a crash
// may leave behind.
func IsTemp(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, ".tmp-")
}

// writeTemp returns the name of a new file beside path that holds data, synced.
func writeTemp(path string, data []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return "", err
	}
	if err := fill(f, data, mode); err != nil {
		_ = os.Remove(f.Name()) // The first error is the one to tell.
		return "", err
	}
	return f.Name(), nil
}

// writeNew writes data under its final name, which must be new.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := fill(f, data, mode); err != nil {
		_ = os.Remove(path) // It is ours, and incomplete.
		return err
	}
	return nil
}

// fill gives f its mode and content, syncs it and closes it.
func fill(f *os.File, data []byte, mode fs.FileMode) error {
	err := f.Chmod(mode)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported) {
		// We made the file, so this is a file system that keeps no modes.
		err = nil
	}
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir makes the names in dir durable, where its file system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing directory %q: %w", dir, err)
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // Some network and FUSE file systems sync files only.
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("syncing directory %q: %w", dir, err)
	}
	return nil
}
