package registrar_test

import (
	"testing"
	"time"

	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// Failures of classes that take turns come to an hour within two hours, whichever they
// are, and a class that is new after a long time does not begin with more.
func TestClassesThatTakeTurns(t *testing.T) {
	t.Parallel()
	classes := []fleetapi.Retry{fleetapi.RetrySoon, fleetapi.RetryLag, fleetapi.RetryCheck, fleetapi.RetrySlow, fleetapi.RetryDaily}
	for _, one := range classes {
		for _, other := range classes {
			var was *Failure
			past := time.Duration(0)
			for n := range 40 {
				f := &Failure{Retry: one}
				if n%2 == 1 {
					f.Retry = other
				}
				f.Count = CountAfter(was, f.Retry)
				row := Waits(f.Retry)
				wait := row[min(f.Count, len(row))-1]
				if past += wait; past > 2*time.Hour && wait < time.Hour {
					t.Errorf("%s and %s: failure %d is followed by a wait of %s, %s after the first", one, other, n+1, wait, past-wait)
				}
				if one != other && n > 0 && wait > time.Hour {
					t.Errorf("%s after %s: the wait is %s, want an hour at most", f.Retry, was.Retry, wait)
				}
				was = f
			}
		}
	}
	if got := CountAfter(&Failure{Retry: fleetapi.RetrySoon, Count: 3}, fleetapi.RetryCheck); got != 2 {
		t.Errorf("after three short failures the look that Tesla fails at counts as number %d, want 2, which is 5 minutes", got)
	}
	for _, damaged := range []int{-1 << 63, -1, 0, 1<<63 - 1} {
		if got := CountAfter(&Failure{Retry: fleetapi.RetrySoon, Count: damaged}, fleetapi.RetrySoon); got < 1 || damaged > 0 && got < len(Waits(fleetapi.RetrySoon)) {
			t.Errorf("after a count of %d comes %d", damaged, got)
		}
		if got := CountAfter(&Failure{Retry: fleetapi.RetrySoon, Count: damaged}, fleetapi.RetryLag); got < 1 || got > len(Waits(fleetapi.RetryLag)) {
			t.Errorf("after a count of %d comes %d", damaged, got)
		}
	}
}
