package webconfig

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"wellkey/internal/customer"
)

const (
	// After a wrong password nobody's is compared for so many times as long as it took,
	// at most for mostRest: a flood of them would keep a processor busy for nothing, at
	// a hundredth of that for whoever floods. A right one is remembered, so nobody who
	// has it waits twice.
	restFor  = 3
	mostRest = time.Second
	// Whoever gave a wrong password goes after those who did not, for so long.
	blamedFor = time.Minute
	// How many of them wait at a time; one more is refused. Who waits keeps a connection,
	// of which there are few.
	mostWaiting = 4
	// How many addresses are blamed at a time. A flood from more is one in which nobody
	// is known.
	mostBlamed = 1024
)

// turns has passwords compared one at a time.
type turns struct {
	mu     sync.Mutex
	taken  bool                       // guarded by mu
	good   []*turn                    // guarded by mu; who wait, of clients that are not blamed
	rest   []*turn                    // guarded by mu; all others
	blamed map[netip.Prefix]time.Time // guarded by mu; until when
}

// A turn is one that is waited for.
type turn struct {
	came chan struct{} // closed when it has come
	gone bool          // guarded by the mu of turns; nobody waits for it
}

// enter returns when it is the turn of client, or reports that it does not come: ctx is
// done, or too many wait who were wrong.
func (t *turns) enter(ctx context.Context, client netip.Prefix) bool {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return true
	}
	lane := &t.good
	if time.Now().Before(t.blamed[client]) {
		lane = &t.rest
		t.rest = slices.DeleteFunc(t.rest, func(one *turn) bool { return one.gone })
		if len(t.rest) >= mostWaiting {
			t.mu.Unlock()
			return false
		}
	}
	mine := &turn{came: make(chan struct{})}
	*lane = append(*lane, mine)
	t.mu.Unlock()
	select {
	case <-mine.came:
		return true
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-mine.came: // just now
		t.next()
	default:
		mine.gone = true
	}
	return false
}

// right ends the turn of who gave the right password.
func (t *turns) right() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// wrong ends the turn of client, whose password was wrong, which took so long to see.
func (t *turns) wrong(client netip.Prefix, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if len(t.blamed) >= mostBlamed {
		for one, until := range t.blamed {
			if !now.Before(until) {
				delete(t.blamed, one)
			}
		}
	}
	if t.blamed == nil {
		t.blamed = map[netip.Prefix]time.Time{}
	}
	if len(t.blamed) < mostBlamed {
		t.blamed[client] = now.Add(blamedFor)
	}
	time.AfterFunc(min(restFor*took, mostRest), t.right)
}

// next gives the turn to who is next; mu is held.
func (t *turns) next() {
	for _, lane := range []*[]*turn{&t.good, &t.rest} {
		for len(*lane) > 0 {
			first := (*lane)[0]
			*lane = (*lane)[1:]
			if !first.gone {
				close(first.came)
				return
			}
		}
		*lane = nil
	}
	t.taken = false
}

// clientOf returns what counts as one client, the zero Prefix where remote is no address.
func clientOf(remote string) netip.Prefix {
	from, _ := netip.ParseAddrPort(remote)
	return customer.Of(from.Addr())
}
