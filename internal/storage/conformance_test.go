package storage_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"wellkey/internal/storage"
	"wellkey/internal/storage/storagetest"
)

// refresh is that of the locks of tests that cannot fake time.
const refresh = 50 * time.Millisecond

func TestDirectoryIsAStorage(t *testing.T) { conform(t, func(*storage.Directory) {}) }

func TestDirectoryWithoutFlockIsAStorage(t *testing.T) {
	conform(t, (*storage.Directory).WithoutFlock)
}

func TestDirectoryWithoutLinksIsAStorage(t *testing.T) {
	conform(t, (*storage.Directory).WithoutLinks)
}

func TestDirectoryWithoutBothIsAStorage(t *testing.T) {
	conform(t, func(d *storage.Directory) {
		d.WithoutFlock()
		d.WithoutLinks()
	})
}

func TestDirectoryOnSharedDiskIsAStorage(t *testing.T) {
	conform(t, (*storage.Directory).OnSharedDisk)
}

// conform runs the suite where the file system lacks something.
func conform(t *testing.T, without func(*storage.Directory)) {
	t.Parallel() // They wait for the disk most of the time.
	storagetest.Run(t, storagetest.Backend{
		New: func(t *testing.T) string { return t.TempDir() },
		Open: func(t *testing.T, address string) storagetest.Storage {
			d := open(t, storage.Config{Path: address, Refresh: refresh})
			without(d)
			return d
		},
		Seize:    seize,
		Lease:    2 * refresh,
		Takeover: 15 * time.Second,
		Steady:   true,
		Lost:     storage.ErrLockLost,
	})
}

func open(t *testing.T, cfg storage.Config) *storage.Directory {
	t.Helper()
	d, err := storage.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// seize does what another host does after a lease: it puts its own record there.
func seize(t *testing.T, dir, name string) {
	t.Helper()
	lock := filepath.Join(dir, "locks", name+".lock")
	if err := os.WriteFile(lock+".new", foreign(time.Now()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(lock+".new", lock); err != nil {
		t.Fatal(err)
	}
}

// foreign is the record of an owner on another host, in this very boot of ours:
// only what it does to the record tells whether it lives.
func foreign(at time.Time) []byte {
	stamp := at.UTC().Format(time.RFC3339Nano)
	return []byte(`{"created":"` + stamp + `","updated":"` + stamp + `","token":"THEIRS","host":"other","boot":"","pid":1}`)
}
