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
	// a hundredth of that for whoever floods. It has a quarter of one, and more where a
	// password takes more than a third of a second: a rest that is longer would take all
	// patience of those who are right. A right one is remembered, so nobody who has it
	// waits twice.
	restFor  = 3
	mostRest = time.Second
	// Whoever gave a wrong password goes after those who did not, for so long, with all
	// others that already wait.
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
	client netip.Prefix
	came   chan struct{} // closed when it has come, or never will
	gone   bool          // guarded by the mu of turns until came is closed; nobody waits for it
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
	mine := &turn{client: client, came: make(chan struct{})}
	if time.Now().Before(t.blamed[client]) {
		t.later(mine)
	} else {
		t.good = append(t.good, mine)
	}
	t.mu.Unlock()
	select {
	case <-mine.came:
		return !mine.gone
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-mine.came: // just now
		if !mine.gone {
			t.next()
		}
	default:
		mine.gone = true
	}
	return false
}

// later has one go after all who are not blamed, or sends it away where too many do; mu
// is held.
func (t *turns) later(one *turn) {
	t.rest = slices.DeleteFunc(t.rest, func(other *turn) bool { return other.gone })
	if len(t.rest) < mostWaiting {
		t.rest = append(t.rest, one)
	} else if !one.gone {
		one.gone = true
		close(one.came)
	}
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
		t.good = slices.DeleteFunc(t.good, func(one *turn) bool {
			if one.client == client {
				t.later(one)
			}
			return one.client == client
		})
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
