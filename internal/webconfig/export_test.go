package webconfig

import (
	"context"
	"net/netip"
	"time"

	"go.uber.org/zap"
)

// Look is one turn of Run.
func (f *Follower) Look() {
	if err, news := f.look(false); err != nil && news {
		f.log.Error("changed web configuration is not usable; the last good one stays in use", zap.Error(err))
	}
}

// HoldTurn takes the place of the one who computes a hash.
func (f *Follower) HoldTurn() (release func()) {
	f.proven.turns.enter(context.Background(), netip.Prefix{})
	return f.proven.turns.right
}

// Turns has passwords compared one at a time.
type Turns struct{ turns }

// Enter waits for the turn of an address.
func (t *Turns) Enter(ctx context.Context, address string) bool {
	return t.enter(ctx, clientOf(address))
}

// Right and Wrong end it.
func (t *Turns) Right()                                   { t.right() }
func (t *Turns) Wrong(address string, took time.Duration) { t.wrong(clientOf(address), took) }

// Blamed returns how many addresses are.
func (t *Turns) Blamed() int { return len(t.blamed) }

// What is done about wrong passwords.
const (
	RestFor    = restFor
	MostRest   = mostRest
	BlamedFor  = blamedFor
	MostBlamed = mostBlamed

	MostWaiting = mostWaiting
)
