package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wellkey/internal/durable"
)

// archiveSuffix is how the name of every archived file of a key ends: enough of
// the fingerprint to find it by.
func archiveSuffix(fingerprint string) string {
	return "-" + fingerprint[:min(12, len(fingerprint))] + ".pem"
}

// archive copies a key into the archive, unless it is there already, and returns
// the path of the copy once that is on the disk and was read back.
func (r *Rotation) archive(stored Stored, data []byte) (string, error) {
	there, file, err := r.archived(stored.Key.Fingerprint())
	clear(file.data)
	if err == nil && (there.Private || !stored.Private) {
		return there.Path, nil
	}
	if err := r.reached("archive"); err != nil {
		return "", err
	}
	if err := durable.MkdirAll(r.config.ArchiveDir, 0o700); err != nil {
		return "", fmt.Errorf("archiving the key: %w", err)
	}
	name := r.config.Now().UTC().Format("20060102T150405Z") + archiveSuffix(stored.Key.Fingerprint())
	path := filepath.Join(r.config.ArchiveDir, name)
	if err := durable.CreateFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("archiving the key: %w", err)
	}
	back, file, err := r.load(path)
	clear(file.data)
	if err == nil && (back.Key != stored.Key || back.Private != stored.Private) {
		err = fmt.Errorf("%q gives back another key than was written", path)
	}
	if err != nil {
		return "", fmt.Errorf("archiving the key: %w", err)
	}
	return path, nil
}

// Archived returns the key with that fingerprint in the archive: the copy with
// the private half if there is one, and the newest of several. The error is
// fs.ErrNotExist if the archive does not have it.
func (r *Rotation) Archived(fingerprint string) (Stored, error) {
	stored, file, err := r.archived(fingerprint)
	clear(file.data)
	return stored, err
}

// archived also returns the file, whose data the caller wipes.
func (r *Rotation) archived(fingerprint string) (Stored, snapshot, error) {
	entries, err := os.ReadDir(r.config.ArchiveDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Stored{}, snapshot{}, fmt.Errorf("searching the archive: %w", err)
	}
	var best Stored
	var bestFile snapshot
	// The names begin with the time, and ReadDir sorts them.
	for _, entry := range slices.Backward(entries) {
		if !strings.HasSuffix(entry.Name(), archiveSuffix(fingerprint)) {
			continue
		}
		stored, file, err := r.load(filepath.Join(r.config.ArchiveDir, entry.Name()))
		if err == nil && stored.Key.Fingerprint() == fingerprint && (best.Key.IsZero() || stored.Private && !best.Private) {
			clear(bestFile.data)
			best, bestFile = stored, file
			continue
		}
		clear(file.data) // What is damaged is no copy.
	}
	if best.Key.IsZero() {
		return Stored{}, snapshot{}, fmt.Errorf("key %s is not in the archive %q: %w", fingerprint, r.config.ArchiveDir, fs.ErrNotExist)
	}
	return best, bestFile, nil
}
