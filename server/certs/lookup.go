package certs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// lookPause is between two looks at the same item.
	lookPause = 50 * time.Millisecond
	// looksAtATime bounds the looks at all items: a shared store has a few connections,
	// on which the leases of locks depend, too.
	looksAtATime = 4
	// lookPatience is how long a look may take, with the wait for its turn. Validators of
	// Let's Encrypt wait for ten seconds.
	lookPatience = 5 * time.Second
)

// errNoLook is what a look had to say that ended in a panic.
var errNoLook = errors.New("looking for a challenge: broken off")

// lookups is the storage in which the challenges of other replicas are looked up. Whoever
// likes may ask for those of our domains, as often as he likes, so of each item there is
// one look at a time, and a pause after it: who asks meanwhile shares the next. Nothing is
// remembered, since another replica may have stored a challenge a moment before the
// validator asks for it: each answer comes from a look that began after the question. A
// client that goes away breaks off no look, which would cost a connection to the store.
type lookups struct {
	certmagic.Storage
	slots chan struct{} // one for each look that is made

	mu    sync.Mutex
	items map[string]*asked // by key; guarded by mu; those that are looked at, or were in the last pause
}

// An asked is an item that somebody asks for.
type asked struct {
	turn chan struct{} // holds something during a look and the pause after it
	next *look         // nil = nobody waits for one; guarded by lookups.mu
}

// A look is the answer to all who wait for it.
type look struct {
	done  chan struct{} // closed when the rest is set
	value []byte
	err   error
}

func newLookups(storage certmagic.Storage) *lookups {
	return &lookups{Storage: storage, slots: make(chan struct{}, looksAtATime), items: map[string]*asked{}}
}

// Load implements certmagic.Storage.
func (l *lookups) Load(ctx context.Context, key string) ([]byte, error) {
	l.mu.Lock()
	item := l.items[key]
	if item == nil {
		item = &asked{turn: make(chan struct{}, 1)}
		l.items[key] = item
	}
	next, first := item.next, item.next == nil
	if first {
		next = &look{done: make(chan struct{}), err: errNoLook}
		item.next = next
	}
	l.mu.Unlock()
	if first {
		l.look(context.WithoutCancel(ctx), key, item, next)
		return next.value, next.err
	}
	select {
	case <-next.done:
		return next.value, next.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// look waits for its turn, and looks.
func (l *lookups) look(ctx context.Context, key string, item *asked, next *look) {
	ctx, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	defer close(next.done)
	slot := false
	if enter(ctx, item.turn) {
		defer time.AfterFunc(lookPause, func() { l.release(key, item) })
		if slot = enter(ctx, l.slots); slot {
			defer func() { <-l.slots }()
		}
	}
	l.mu.Lock()
	item.next = nil // who asks from now on waits for another look
	l.mu.Unlock()
	if !slot {
		next.err = ctx.Err()
		return
	}
	next.value, next.err = l.Storage.Load(ctx, key)
}

// release ends the pause after a look.
func (l *lookups) release(key string, item *asked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	<-item.turn
	if item.next == nil {
		delete(l.items, key)
	}
}

// enter waits for a place, and reports whether it got one.
func enter(ctx context.Context, places chan<- struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
