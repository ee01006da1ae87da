package network_test

import (
	"bytes"
	"context"
	"time"

	"wellkey/internal/pause"
)

// watch has a client fetch the key in a loop, each time over a new connection, until the
// test ends, and once more then, in what the test has made of its network. It is for a
// wellkey on the host Here, whose own addresses are not across the line: whatever the line
// and the names do, every visit must get the key.
func (w *world) watch() {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for last := false; w.visit() && !last; {
			last = pause.For(ctx, time.Second) != nil // the line shares the processors
		}
	}()
	w.t.Cleanup(func() { stop(); <-ended }) // before wellkey ends
}

// visit fetches the key, and reports whether it came.
func (w *world) visit() bool {
	visit, err := w.Fetch(context.Background()) // it ends in time
	if err != nil || !bytes.Equal(visit.Body, w.key) {
		w.t.Errorf("a visit that does not cross the line: %q, %v", visit.Body, err)
		return false
	}
	return true
}
