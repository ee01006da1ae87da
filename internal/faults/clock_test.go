package faults_test

import (
	"testing"
	"time"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// TestWrongClock: by a clock that disagrees with the CA's nothing is ordered and
// nothing that is noted is believed, while what there is is served; once it is
// right, all goes on.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, test := range map[string]struct {
		wrong time.Duration
		due   bool
		later bool // it goes wrong while wellkey runs
	}{
		"ten years behind at boot, due":       {-3650 * day, true, false},
		"ten years behind at boot, not due":   {-3650 * day, false, false},
		"a year ahead at boot, due":           {365 * day, true, false},
		"a year ahead at boot, not due":       {365 * day, false, false},
		"an hour back while it runs, due":     {-time.Hour, true, true},
		"an hour back while it runs, not due": {-time.Hour, false, true},
		"a year ahead while it runs, not due": {365 * day, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t)
			left := 60 * day
			if test.due {
				left = 29 * day
			}
			s.seed(left)
			var i *instance
			var d time.Duration
			if test.later {
				if test.due {
					s.ca.breaks(away)
				}
				i = s.start()
				i.settle()
				s.ca.mends()
				s.wrong.Store(int64(test.wrong))
				d = i.again(0)
			} else {
				s.wrong.Store(int64(test.wrong))
				i = s.start()
				d = i.settle()
			}
			i.until(d, 12*time.Hour, never)
			s.watcher.served()
			if n := s.ca.count(testca.NewOrderPath); n != 0 {
				t.Errorf("%d orders by a wrong clock, want none", n)
			}
			if i.reason() == certs.ReasonClock {
				i.wantOffset(test.wrong)
			}
			if test.wrong > 0 && i.reason() != certs.ReasonClock { // else it is not due by that clock
				t.Errorf("got %+v, want words about the clock", i.Status().LastError)
			}
			s.wrong.Store(0)
			d = i.again(0) // a clock that jumps ends every wait
			if test.due {
				i.renewed(d, time.Hour)
				return
			}
			i.until(d, day, never)
			if i.reason() != "" || s.ca.count(testca.NewOrderPath) != 0 {
				t.Errorf("after the clock is right: %+v and %d orders, want none", i.Status().LastError, s.ca.count(testca.NewOrderPath))
			}
			i.restart()
		})
	}
}

// wantOffset checks what is told of a clock that is wrong by so much. Where it is so
// wrong that the CA's own certificate is not valid by it, that is all that is known:
// it may be wrong by more than it says.
func (i *instance) wantOffset(wrong time.Duration) {
	i.s.t.Helper()
	known, unknown := i.Status().ClockOffset, time.Minute
	if wrong > caLifetime {
		unknown += caLifetime
	}
	if known == nil {
		i.s.t.Fatalf("the offset is not known, want %v", wrong)
	}
	for _, seconds := range []float64{*known, gauge(i.s.t, i.registry, "wellkey_clock_offset_seconds")} {
		got := time.Duration(seconds * float64(time.Second))
		if (got-wrong).Abs() > unknown || got.Abs() > wrong.Abs()+time.Minute {
			i.s.t.Errorf("the offset is %v, want %v, or up to %v less", got, wrong, unknown)
		}
	}
}

// caLifetime is that of the certificate of the CA's own API.
const caLifetime = 90 * 24 * time.Hour
