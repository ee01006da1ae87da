package registrar_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// TestHurry: who has mended what Tesla refused does not wait for the next attempt.
func TestHurry(t *testing.T) {
	refuse := func(code fleetapi.ReasonCode) func(fleetapi.Operation) error {
		return func(op fleetapi.Operation) error {
			if op == fleetapi.OpRegister {
				return refusal(code, op)
			}
			return nil
		}
	}
	inWorld("mended", t, func(w *world) {
		w.tesla.refuse = refuse(fleetapi.RootDomainMismatch)
		w.start()
		time.Sleep(24 * time.Hour)
		w.want(Refused)
		w.change(func() { w.tesla.refuse = nil })
		w.registrar.Wake("example.com")
		w.want(Refused) // the schedule is stored, and nothing that wellkey knows of has changed
		w.registrar.Hurry("example.com")
		w.want(Registered)
		w.stop()
	})
	inWorld("mended, and on its way through Tesla", t, func(w *world) {
		w.tesla.refuse = refuse(fleetapi.RootDomainMismatch)
		w.start()
		time.Sleep(24 * time.Hour)
		w.registrar.Hurry("example.com")
		w.want(Refused)
		w.change(func() { w.tesla.refuse = nil })
		time.Sleep(6 * time.Minute) // and not six hours
		w.want(Registered)
		w.stop()
	})
	inWorld("known at last, and on its way through Tesla", t, func(w *world) {
		w.tesla.refuse = refuse(fleetapi.UnauthorizedClient)
		w.start()
		time.Sleep(3 * 24 * time.Hour)
		w.change(func() { w.tesla.refuse = refuse(fleetapi.RootDomainMismatch) })
		w.registrar.Hurry("example.com")
		w.want(Refused)
		w.change(func() { w.tesla.refuse = nil })
		time.Sleep(6 * time.Minute) // and not an hour
		w.want(Registered)
		w.stop()
	})
	inWorld("after a restart", t, func(w *world) {
		w.tesla.refuse = refuse(fleetapi.DomainTaken)
		w.start()
		w.want(Refused)
		w.stop()
		time.Sleep(10 * time.Minute)
		w.tesla.refuse = nil
		w.start()
		w.want(Refused)
		w.registrar.Hurry("example.com")
		w.want(Registered)
		w.stop()
	})
	inWorld("with a shared storage", t, func(w *world) {
		w.shared = true
		w.tesla.refuse = refuse(fleetapi.DomainTaken)
		w.start()
		time.Sleep(10 * time.Minute)
		w.want(Refused)
		w.change(func() { w.tesla.refuse = nil })
		w.storage.lock(errors.New("the store is down"))
		w.registrar.Hurry("example.com")
		w.want(Refused)
		w.storage.lock(nil)
		time.Sleep(2 * time.Minute) // what was asked for still stands
		w.want(Registered)
		w.stop()
		for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
			if slices.Contains(w.storage.unlocked, RecordKey("example.com", region)) {
				t.Errorf("%s: what another replica wrote may have been written over", region)
			}
		}
	})
	inWorld("the time that Tesla named", t, func(w *world) {
		w.tesla.refuse = func(op fleetapi.Operation) error {
			e := refusal(fleetapi.RateLimited, op)
			e.RetryAfter = time.Now().Add(5 * time.Hour)
			return e
		}
		w.start()
		time.Sleep(time.Hour)
		asks := w.asks()
		w.registrar.Hurry("example.com")
		w.want(Unavailable)
		if w.asks() != asks {
			t.Error("asked before Tesla's time")
		}
		w.stop()
	})
	inWorld("nothing failed", t, func(w *world) {
		w.start()
		time.Sleep(time.Hour)
		w.want(Registered)
		asks := w.asks()
		w.registrar.Hurry("example.com")
		w.want(Registered)
		if w.asks() != asks {
			t.Error("asked again without need")
		}
		w.stop()
	})
}

// TestHurryIsBounded: whatever sends word, and however often, Tesla is asked twelve
// times an hour and region at most for it.
func TestHurryIsBounded(t *testing.T) {
	for _, code := range []fleetapi.ReasonCode{fleetapi.RootDomainMismatch, fleetapi.DomainTaken, fleetapi.UnauthorizedClient, fleetapi.KeyDownloadFailed, fleetapi.Unavailable} {
		inWorld(string(code), t, func(w *world) {
			w.tesla.refuse = func(op fleetapi.Operation) error {
				if op == fleetapi.OpRegister {
					return refusal(code, op)
				}
				return nil
			}
			w.start()
			time.Sleep(48 * time.Hour)
			before := w.posts(fleetapi.NA)
			for range 60 * 60 / 10 {
				w.registrar.Hurry("example.com")
				time.Sleep(10 * time.Second)
			}
			synctest.Wait()
			if got := w.posts(fleetapi.NA) - before; got < 6 || got > 12 {
				t.Errorf("posted %d times in an hour, want 12 at most", got)
			}
			w.stop()
		})
	}
}
