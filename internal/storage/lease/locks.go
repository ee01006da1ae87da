package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"wellkey/internal/contain"
	"wellkey/internal/pause"
)

// A Server has the steps of a lock, each atomic, by its own clock.
type Server interface {
	// Acquire takes the lock for owner if it is free or has lapsed; ok = it did.
	Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error)
	// Extend makes the lease last for ttl from now, if it is the current one.
	Extend(ctx context.Context, l Lease, ttl time.Duration) (ok bool, err error)
	// Release frees the lock if its lease is of this owner.
	Release(ctx context.Context, l Lease) (ok bool, err error)
}

// Config says how patient Locks are.
type Config struct {
	TTL     time.Duration // how long a lock outlives its owner; 0 = 15 s
	Timeout time.Duration // of every call of the server; 0 = 10 s
	OnLost  func()        // called when a lock was lost; nil = nobody
	Panics  *contain.Part // contains those while a lock is held; nil = nobody does
	Logger  *zap.Logger   // nil = none
}

// Locks are the locks that one client of a server holds or waits for. It is safe
// for concurrent use.
type Locks struct {
	server Server
	cfg    Config

	mu   sync.Mutex
	held map[string][]*held // by name: the one that holds it, after those that lost it
}

// New returns Locks of that server. It starts nothing; a goroutine keeps each
// lock that is held, until Unlock.
func New(server Server, cfg Config) *Locks {
	if cfg.TTL == 0 {
		cfg.TTL = 15 * time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.OnLost == nil {
		cfg.OnLost = func() {}
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &Locks{server: server, cfg: cfg, held: map[string][]*held{}}
}

// Waiting begins quick, since most locks are held for moments, and stays so
// short that a lock that lapses is taken soon.
const (
	firstPoll = 5 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
)

// Lock waits until it has the lock of that name, or ctx ends. A lock that is free
// is taken even if ctx has ended already, as by certmagic.FileStorage.
func (l *Locks) Lock(ctx context.Context, name string) error {
	_, err := l.wait(ctx, name)
	return err
}

// TryLock takes the lock of that name if it is free now.
func (l *Locks) TryLock(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, fmt.Errorf("locking %q: %w", name, err)
	}
	h, err := l.attempt(ctx, name)
	return h != nil, err
}

// Guard waits for the lock of that name and returns the context for the work
// under it: it ends with ctx, or when the lock is lost (its cause is ErrLost
// then), and the server refuses what is written with it after that. release gives
// the lock back, and ends the context.
func (l *Locks) Guard(ctx context.Context, name string) (guarded context.Context, release func(context.Context) error, err error) {
	h, err := l.wait(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	guarded, cancel := context.WithCancelCause(newContext(ctx, h.Lease))
	stop := context.AfterFunc(h.lost, func() { cancel(fmt.Errorf("lock %q: %w", name, ErrLost)) })
	return guarded, func(ctx context.Context) error {
		stop()
		cancel(context.Canceled)
		return l.unlock(ctx, h)
	}, nil
}

func (l *Locks) wait(ctx context.Context, name string) (*held, error) {
	trying := context.WithoutCancel(ctx)
	for poll := firstPoll; ; poll = min(2*poll, lastPoll, l.cfg.TTL/4) {
		h, err := l.attempt(trying, name)
		if h != nil || err != nil {
			return h, err
		}
		jittered := poll/2 + mathrand.N(poll/2+1) // #nosec G404 -- replicas shall not come together; who guesses it gains nothing
		if err := pause.For(ctx, jittered); err != nil {
			return nil, fmt.Errorf("waiting for lock %q: %w", name, err)
		}
		trying = ctx
	}
}

// attempt takes the lock if it is free; nil without an error = it is not.
func (l *Locks) attempt(ctx context.Context, name string) (*held, error) {
	limited, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	h := &held{Lease: Lease{Name: name, Owner: rand.Text()}, until: time.Now().Add(l.cfg.TTL)}
	fence, ok, err := l.server.Acquire(limited, name, h.Owner, l.cfg.TTL)
	if err != nil {
		// It may have been taken all the same, if only the answer was lost.
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_, _ = l.server.Release(short, h.Lease) // it lapses, too
		return nil, fmt.Errorf("locking %q: %w", name, err)
	}
	if !ok {
		return nil, nil
	}
	h.Fence = fence
	l.mu.Lock()
	l.held[name] = append(l.held[name], h)
	l.mu.Unlock()
	l.keep(h)
	return h, nil
}

// Unlock gives the lock of that name back. The error is ErrLost if somebody else
// has it now, who keeps it, and ErrNotHeld if it is not held here.
func (l *Locks) Unlock(ctx context.Context, name string) error {
	l.mu.Lock()
	var h *held
	if all := l.held[name]; len(all) > 0 {
		h = all[0] // First those that lost it: their late Unlock must not free that of who has it now.
	}
	l.mu.Unlock()
	if h == nil {
		return fmt.Errorf("unlocking %q: %w", name, ErrNotHeld)
	}
	return l.unlock(ctx, h)
}

func (l *Locks) unlock(ctx context.Context, h *held) error {
	if !l.forget(h) {
		return fmt.Errorf("unlocking %q: %w", h.Name, ErrNotHeld)
	}
	h.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.Timeout)
	defer cancel()
	ok, err := l.server.Release(ctx, h.Lease)
	if err != nil {
		return fmt.Errorf("unlocking %q, which lapses by itself: %w", h.Name, err)
	}
	if !ok {
		return fmt.Errorf("unlocking %q: %w", h.Name, ErrLost)
	}
	return nil
}

// forget takes h off the list, and reports whether it was there.
func (l *Locks) forget(h *held) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.held[h.Name]
	for i, other := range all {
		if other != h {
			continue
		}
		l.held[h.Name] = append(all[:i:i], all[i+1:]...)
		if len(l.held[h.Name]) == 0 {
			delete(l.held, h.Name)
		}
		return true
	}
	return false
}

// RenewLockLease makes sure that the lock of that name is still ours. It is kept
// for as long as it is held, whatever the duration (certmagic asks for one that
// is too short).
func (l *Locks) RenewLockLease(ctx context.Context, name string, _ time.Duration) error {
	l.mu.Lock()
	var h *held
	if all := l.held[name]; len(all) > 0 {
		h = all[len(all)-1]
	}
	l.mu.Unlock()
	if h == nil {
		return fmt.Errorf("renewing lock %q: %w", name, ErrNotHeld)
	}
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	ok, err := l.server.Extend(ctx, h.Lease, l.cfg.TTL)
	switch {
	case err != nil:
		return fmt.Errorf("renewing lock %q: %w", name, err)
	case !ok:
		return fmt.Errorf("renewing lock %q: %w", name, ErrLost)
	}
	return nil
}

// A held is a lease that is ours until it is lost.
type held struct {
	Lease
	until  time.Time       // by our clock, the server's lease lasts so long at least; only keep's goroutine changes it
	lost   context.Context // ends when it is lost, or given back
	cancel context.CancelFunc
	done   chan struct{}
	quit   context.CancelFunc
}

// keep extends the lease in a goroutine, until stop or until it is lost.
func (l *Locks) keep(h *held) {
	ctx, quit := context.WithCancel(context.Background())
	h.lost, h.cancel = context.WithCancel(context.Background())
	h.quit, h.done = quit, make(chan struct{})
	go func() {
		defer close(h.done)
		next := l.cfg.TTL / 3
		for {
			if pause.For(ctx, next) != nil {
				return
			}
			err := l.extend(ctx, h)
			switch {
			case ctx.Err() != nil:
				return
			case err == nil:
				next = l.cfg.TTL / 3
				continue
			case !errors.Is(err, ErrLost):
				l.cfg.Logger.Warn("refreshing a lock; others may take it over", zap.String("lock", h.Name), zap.Error(err),
					zap.String("fix", "See whether the store in storage answers, and how quickly; another replica goes on with the work if it does not."))
				next = l.cfg.TTL / 10
				continue
			}
			l.cfg.Logger.Error("lost a lock, so the work under it ends", zap.String("lock", h.Name), zap.Error(err),
				zap.String("fix", "Nothing if it comes once: the work begins again, here or at another replica. If it comes again, the store in storage answers late or forgets: look at its log, its memory and the network in between."))
			h.cancel()
			l.cfg.OnLost()
			return
		}
	}()
}

// extend extends the lease once. The error is ErrLost if it is lost: by the word
// of the server, or because it could not be extended before it lapsed.
func (l *Locks) extend(ctx context.Context, h *held) error {
	began := time.Now()
	limited, cancel := context.WithDeadline(ctx, began.Add(min(l.cfg.Timeout, max(h.until.Sub(began), l.cfg.TTL/10))))
	defer cancel()
	ok := false
	err := l.cfg.Panics.Once(func() (err error) {
		ok, err = l.server.Extend(limited, h.Lease, l.cfg.TTL)
		return err
	})
	switch {
	case err == nil && ok:
		h.until = began.Add(l.cfg.TTL)
		return nil
	case err == nil:
		return ErrLost
	case time.Now().After(h.until):
		return fmt.Errorf("it could not be refreshed in time, so that %w at any moment: %w", ErrLost, err)
	}
	return err
}

func (h *held) stop() {
	h.quit()
	<-h.done
	h.cancel()
}
