package registrar_test

import (
	"testing"
	"time"

	. "wellkey/registrar"
	"wellkey/registrar/reach"
)

// without is what a look sees of a replica that has no certificate yet.
var without = reach.Report{Verdict: reach.Inconclusive, Reason: reach.ReasonTLSHandshake}

// A certificate gets to the other replicas a while after it got here. Until then Tesla
// would be sent to one that cannot serve the key, which costs a registration.
func TestCertificateSpreads(t *testing.T) {
	inWorld("the others have it within seconds", t, func(w *world) {
		w.shared, w.look = true, without
		w.start()
		for range 2 { // while nobody is to be sent there at all, and while the look decides
			for _, r := range w.registrar.Snapshot().Sites[0].Regions {
				if r.State != Pending || r.Note.Reason != ReasonSpreading {
					t.Errorf("%s: state %s, note %+v, want %s", r.Region, r.State, r.Note, ReasonSpreading)
				}
			}
			time.Sleep(10 * time.Second)
		}
		w.want(Pending)
		if looks := w.looked(); looks != 2 {
			t.Errorf("looked %d times from outside, want 2", looks)
		}
		w.wantPosts(0, 0)
		w.change(func() { w.look = reach.Report{Verdict: reach.Reachable} })
		time.Sleep(20 * time.Second) // until the next look
		w.want(Registered)
		w.wantPosts(1, 1)
		w.stop()
	})
	inWorld("it cannot be seen from here whether they have it", t, func(w *world) {
		w.shared, w.look = true, without
		w.start()
		time.Sleep(59 * time.Second)
		w.want(Pending)
		w.wantPosts(0, 0)
		time.Sleep(time.Second)
		w.want(Registered)
		w.wantPosts(1, 1)
		w.stop()
	})
	inWorld("they have it, since it is an hour old", t, func(w *world) {
		w.shared, w.clientID = true, ""
		w.start()
		time.Sleep(time.Hour)
		w.change(func() { w.clientID, w.look = "id", without })
		w.registrar.Wake("example.com")
		w.want(Registered)
		w.wantPosts(1, 1)
		w.stop()
	})
	inWorld("there are no others", t, func(w *world) {
		w.look = without
		w.start()
		w.want(Registered)
		w.wantPosts(1, 1)
		w.stop()
	})
}
