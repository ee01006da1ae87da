package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/durable"
	"wellkey/internal/pause"
)

var (
	errBusy      = errors.New("this lock is held by somebody else")
	errMovedAway = errors.New("something was moved to quarantine")
)

// maxRecord is far more than a record has.
const maxRecord = 4 << 10

// acquire takes the lock, or returns errBusy, or errMovedAway where it can be
// tried again at once.
func (d *Directory) acquire(ctx context.Context, name string) (_ *held, err error) {
	key, file := lockKey(name), d.lockFile(name)
	if err := d.lockDir(); err != nil {
		return nil, err
	}
	g, err := d.guard(strings.TrimSuffix(key, ".lock") + ".guard")
	if err != nil {
		d.forget(file) // A guard that is busy has a live owner.
		return nil, err
	}
	defer func() {
		if err != nil && g != nil {
			g.close()
		}
	}()
	found, err := d.readRecord(key, file)
	if err != nil {
		return nil, err
	}
	if found != nil {
		if err := d.ripe(key, file, found, g); err != nil {
			return nil, err
		}
	}
	h, err := d.install(ctx, name, file, found, g)
	if err == nil {
		d.forget(file)
	}
	return h, err
}

// lockDir makes the directory of the locks, where a file may have its name.
func (d *Directory) lockDir() error {
	err := durable.MkdirAll(d.under("locks"), 0o700)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) {
		return d.moveLock("locks", "a file where a directory must be")
	}
	return err
}

// A sight is a record as it was seen. Two of the same bytes need not be of the
// same owner: what is empty is always alike.
type sight struct {
	data []byte
	info fs.FileInfo
}

func (s *sight) same(other *sight) bool {
	if s == nil || other == nil {
		return s == other
	}
	return bytes.Equal(s.data, other.data) && os.SameFile(s.info, other.info) && s.info.ModTime().Equal(other.info.ModTime())
}

// readRecord returns the record at file, nil if there is none.
func (d *Directory) readRecord(key, file string) (*sight, error) {
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, d.moveLock(key, "a lock that is not a file")
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // given back just now
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Who it is comes first: if it changes while we read, it is another next time.
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, err
	}
	return &sight{data, info}, nil
}

// ripe returns nil if a record that was found may be replaced now.
func (d *Directory) ripe(key, file string, found *sight, g *guard) error {
	owner := parseRecord(found.data)
	verdict, why := d.judge(owner, g)
	if verdict == alive || verdict != dead && !d.unchangedFor(file, found, d.patience(verdict)) {
		return errBusy
	}
	if owner.damage != "" {
		return d.moveLock(key, owner.damage)
	}
	d.log.Info("taking over a lock", zap.String("lock", key), zap.String("reason", why),
		zap.String("host", owner.Host), zap.Int("pid", owner.PID))
	return nil
}

func (d *Directory) moveLock(key, reason string) error {
	if err := d.quarantine(key, reason); err != nil {
		return err // not errMovedAway: it is still there, and trying again would not end
	}
	return errMovedAway
}

// patience is how long a record must not change before it is replaced.
func (d *Directory) patience(v verdict) time.Duration {
	if v == damaged {
		return d.refresh / 10 // long enough for a write that is under way to end
	}
	return 2 * d.refresh
}

// An observation is since when, on our clock, we have seen a record as it is.
type observation struct {
	record *sight
	since  time.Time
}

func (d *Directory) unchangedFor(file string, found *sight, patience time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	last, ok := d.seen[file]
	if !ok || !last.record.same(found) {
		d.seen[file] = observation{found, time.Now()}
		return false
	}
	return time.Since(last.since) > patience
}

func (d *Directory) forget(file string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.seen, file)
}

// install writes our record in place of found, or where there is none.
func (d *Directory) install(ctx context.Context, name, file string, found *sight, g *guard) (_ *held, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".tmp-*")
	if err != nil {
		return nil, err
	}
	h := &held{name: name, file: file, record: f, guard: g, owner: record{
		Created: stamp(time.Now()), Token: rand.Text(), process: d.self,
	}}
	if g != nil {
		h.owner.Guard = g.inode
	}
	defer func() {
		_ = os.Remove(f.Name()) // The record has its own name now, or is of no use.
		if err != nil {
			_ = f.Close()
		}
	}()
	if _, err := f.WriteAt(h.owner.encode(time.Now()), 0); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if found == nil {
		err := d.link(f.Name(), file)
		if err == nil {
			return h, nil
		}
		if errors.Is(err, fs.ErrExist) {
			return nil, errBusy
		}
		// A file system without hard links. With a guard, go on as if we took over.
		if g == nil {
			return d.create(h)
		}
	}
	return h, d.replace(ctx, h, f.Name(), found)
}

// create writes our record under its own name at once, where there are neither
// hard links nor flock. A crash can leave an empty record, for others to wait for.
func (d *Directory) create(h *held) (*held, error) {
	f, err := os.OpenFile(h.file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, errBusy
	}
	if err != nil {
		return nil, err
	}
	_ = h.record.Close() // the temporary file
	h.record = f
	_, err = f.WriteAt(h.owner.encode(time.Now()), 0)
	if err = errors.Join(err, f.Sync()); err != nil {
		_ = errors.Join(f.Close(), os.Remove(h.file)) // It is ours, and incomplete.
		return nil, err
	}
	return h, nil
}

// replace puts our record over found. Where flock decides, we are alone. Where
// it does not, another host may do the same at the same time: the last one
// wins, and both look again after a while.
func (d *Directory) replace(ctx context.Context, h *held, temp string, found *sight) error {
	now, err := d.readRecord(lockKey(h.name), h.file)
	if err != nil {
		return err
	}
	if !now.same(found) {
		return errBusy // It changed since we judged it.
	}
	if err := os.Rename(temp, h.file); err != nil {
		return err
	}
	if h.guard != nil && h.guard.local {
		return nil
	}
	if err := pause.For(ctx, d.patience(damaged)); err != nil {
		if h.ours() {
			_ = os.Remove(h.file)
		}
		return fmt.Errorf("looking again at lock %q: %w", h.name, err)
	}
	if !h.ours() {
		return errBusy
	}
	return nil
}
