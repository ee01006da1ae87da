package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"wellkey/internal/pause"
	"wellkey/internal/storage/lease"
)

// How locks work. locks/NAME.lock is the record of who holds the lock, with a
// random token; it is there exactly while the lock is held, and its owner writes
// it again every few seconds. Beside it, the owner holds flock(2) on
// locks/NAME.guard, where the file system has that, so that the kernel itself
// tells when an owner on this machine has died. Whoever finds a record judges it
// by its owner (see judge), never by the clock in it.
//
// The owner writes through the file that it has open. Another that takes over
// puts a new file in its place, which a former owner that wakes up can neither
// change nor delete; it sees that the name leads to another file, and knows that
// it has lost the lock.

// Errors of locks, for errors.Is.
var (
	ErrNotHeld  = lease.ErrNotHeld
	ErrLockLost = lease.ErrLost
)

// Waiting begins quick, since most locks are held for moments.
const (
	firstPoll = time.Millisecond
	lastPoll  = 100 * time.Millisecond
)

// Lock waits until it has the lock of that name, or ctx ends. A lock that is free
// is taken even if ctx has ended already, as by certmagic.FileStorage. Locks
// exclude goroutines, processes and hosts.
func (d *Directory) Lock(ctx context.Context, name string) error {
	_, err := d.wait(ctx, name)
	return err
}

func (d *Directory) wait(ctx context.Context, name string) (*held, error) {
	trying := context.WithoutCancel(ctx)
	for wait := firstPoll; ; wait = min(2*wait, lastPoll) {
		h, err := d.attempt(trying, name)
		if h != nil || err != nil {
			return h, err
		}
		if err := pause.For(ctx, wait); err != nil {
			return nil, fmt.Errorf("waiting for lock %q: %w", name, err)
		}
		trying = ctx
	}
}

// TryLock takes the lock of that name if it is free now.
func (d *Directory) TryLock(ctx context.Context, name string) (bool, error) {
	h, err := d.attempt(ctx, name)
	return h != nil, err
}

type heldKey struct{}

// Guard waits for the lock of that name and returns the context for the work
// under it: it ends with ctx, or when the lock is lost (its cause is ErrLockLost
// then), and what is written with it after that is refused. release gives the lock
// back, and ends the context.
func (d *Directory) Guard(ctx context.Context, name string) (guarded context.Context, release func(context.Context) error, err error) {
	h, err := d.wait(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	guarded, cancel := context.WithCancelCause(context.WithValue(ctx, heldKey{}, h))
	stop := context.AfterFunc(h.lost, func() { cancel(fmt.Errorf("lock %q: %w", name, ErrLockLost)) })
	return guarded, func(ctx context.Context) error {
		stop()
		cancel(context.Canceled)
		return d.unlock(ctx, d.drop(h.file, h), name)
	}, nil
}

// mayWrite returns an error where ctx works under a lock that was lost.
func mayWrite(ctx context.Context) error {
	if h, ok := ctx.Value(heldKey{}).(*held); ok && !h.ours() {
		return fmt.Errorf("writing under lock %q: %w", h.name, ErrLockLost)
	}
	return ctx.Err()
}

// Unlock gives the lock of that name back. The error is ErrLockLost if somebody
// else has it now, who keeps it, and ErrNotHeld if this Directory never had it.
func (d *Directory) Unlock(ctx context.Context, name string) error {
	return d.unlock(ctx, d.drop(d.lockFile(name), nil), name)
}

func (d *Directory) unlock(ctx context.Context, h *held, name string) error {
	if h == nil {
		return fmt.Errorf("unlocking %q: %w", name, ErrNotHeld)
	}
	h.stop()
	err := try(context.WithoutCancel(ctx), d, fmt.Sprintf("unlocking %q", name), func(context.Context) error { return h.release() })
	if err != nil {
		d.mu.Lock()
		d.orphans[h.owner.Token] = true // We live, but hold it no longer.
		d.mu.Unlock()
		return d.explainLock(err)
	}
	return nil
}

// RenewLockLease makes sure that the lock of that name is still ours. It is kept
// for as long as it is held, whatever the duration. The error is ErrLockLost or
// ErrNotHeld, or says why the directory cannot be asked.
func (d *Directory) RenewLockLease(ctx context.Context, name string, _ time.Duration) error {
	h := d.holder(d.lockFile(name))
	if h == nil {
		return fmt.Errorf("renewing lock %q: %w", name, ErrNotHeld)
	}
	if err := try(ctx, d, fmt.Sprintf("renewing lock %q", name), h.renew); err != nil {
		return d.explainLock(err)
	}
	return nil
}

// drop takes h from those that hold the lock, or, if it is nil, one of them,
// first those that have lost it: their late Unlock must not free the lock of who
// has it now. It returns nil where there is none.
func (d *Directory) drop(file string, h *held) *held {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, one := range d.held[file] {
		if h != nil && one != h {
			continue
		}
		d.held[file] = slices.Delete(d.held[file], i, i+1)
		if len(d.held[file]) == 0 {
			delete(d.held, file)
		}
		return one
	}
	return nil
}

// holder returns the last that got the lock; nil = none.
func (d *Directory) holder(file string) *held {
	d.mu.Lock()
	defer d.mu.Unlock()
	if all := d.held[file]; len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

func (d *Directory) explainLock(err error) error {
	if errors.Is(err, ErrLockLost) {
		return err
	}
	return d.explain(err)
}

func (d *Directory) lockFile(name string) string { return d.under(lockKey(name)) }

func lockKey(name string) string { return "locks/" + certmagic.StorageKeys.Safe(name) + ".lock" }

// attempt takes the lock of that name if that can be done at once; nil without
// an error = it cannot. A lock that was damaged is moved away and tried again.
func (d *Directory) attempt(ctx context.Context, name string) (*held, error) {
	const again = 3 // Each quarantine makes way for the next thing that may be there.
	for range again {
		h, err := do(ctx, d, fmt.Sprintf("locking %q", name), func(ctx context.Context) (*held, error) {
			return d.acquire(ctx, name)
		}, func(h *held) {
			if h != nil {
				_ = h.release() // Nobody waits for it any more.
			}
		})
		switch {
		case errors.Is(err, errMovedAway):
			continue
		case errors.Is(err, errBusy):
			return nil, nil
		case err != nil:
			d.metrics.failed(err)
			return nil, d.explain(err)
		}
		d.mu.Lock()
		d.held[h.file] = append(d.held[h.file], h)
		d.mu.Unlock()
		h.start(d)
		return h, nil
	}
	return nil, nil
}

// A held is a lock that is ours until somebody takes it over.
type held struct {
	name   string
	file   string   // path of the record
	record *os.File // open, to write the record again
	owner  record
	guard  *guard // nil: this file system has no flock
	cancel context.CancelFunc
	done   chan struct{}
	lost   context.Context // ends when it is lost, or given back
	lose   context.CancelFunc
}

// start keeps the lock fresh in a goroutine, until stop.
func (h *held) start(d *Directory) {
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel, h.done = cancel, make(chan struct{})
	h.lost, h.lose = context.WithCancel(context.Background())
	go func() {
		defer close(h.done)
		ticker := time.NewTicker(d.refresh)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
			err := try(ctx, d, "refreshing lock", h.renew)
			if ctx.Err() != nil {
				return
			}
			if errors.Is(err, ErrLockLost) {
				d.log.Error("lost a lock to another owner", zap.String("lock", h.name), zap.Error(err),
					zap.String("fix", "If another wellkey uses this data directory, on this machine or over a share, give each its own, or let them share a storage. "+
						"Where this process was asleep for minutes, there is nothing to do: the work begins again."))
				h.lose()
				return
			}
			if err != nil {
				d.log.Warn("refreshing a lock; others may take it over", zap.String("lock", h.name), zap.Error(err),
					zap.String("fix", "Fix what the error names; where it is only slow, see what else keeps the disk or the share busy."))
			}
		}
	}()
}

func (h *held) stop() {
	h.cancel()
	<-h.done
	h.lose()
}

// renew writes the record again, where it is, unless its name leads to another.
func (h *held) renew(ctx context.Context) error {
	if !h.ours() {
		return fmt.Errorf("renewing lock %q: %w", h.name, ErrLockLost)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := h.record.WriteAt(h.owner.encode(time.Now()), 0); err != nil {
		return err
	}
	return h.record.Sync() // for other hosts to see
}

// release deletes the record, if it is ours, and then lets others in.
func (h *held) release() error {
	err := fmt.Errorf("unlocking %q: %w", h.name, ErrLockLost)
	if h.ours() {
		err = os.Remove(h.file)
	}
	err = errors.Join(err, h.record.Close())
	if h.guard != nil {
		h.guard.remove()
	}
	return err
}

// ours tells whether the name of the record still leads to the one we wrote.
func (h *held) ours() bool {
	mine, err := h.record.Stat()
	if err != nil {
		return false
	}
	current, err := os.Lstat(h.file)
	return err == nil && os.SameFile(mine, current)
}
