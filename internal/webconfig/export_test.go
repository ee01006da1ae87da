package webconfig

import "go.uber.org/zap"

// Look is one turn of Run.
func (f *Follower) Look() {
	if err, news := f.look(false); err != nil && news {
		f.log.Error("changed web configuration is not usable; the last good one stays in use", zap.Error(err))
	}
}

// HoldTurn takes the place of the one who computes a hash.
func (f *Follower) HoldTurn() (release func()) {
	f.proven.turn <- struct{}{}
	return func() { <-f.proven.turn }
}
