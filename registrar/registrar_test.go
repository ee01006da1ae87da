package registrar_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"wellkey/keystore"
	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRegistersAndProves(t *testing.T) {
	inWorld("both regions, once", t, func(w *world) {
		w.start()
		w.want(Registered)
		w.wantPosts(1, 1)
		time.Sleep(30 * time.Hour)
		w.want(Registered)
		w.wantPosts(1, 1)
		if w.asks() != 3 { // before, after, and a day later
			t.Errorf("asked %d times, want 3", w.asks())
		}
		w.stop()

		asks := w.asks()
		w.start()
		w.want(Registered)
		w.wantPosts(1, 1)
		if w.asks() != asks {
			t.Error("a restart with nothing changed asks Tesla")
		}
		w.stop()
	})
	inWorld("a region that hangs does not hold the other", t, func(w *world) {
		w.tesla.hold[fleetapi.NA] = make(chan struct{})
		w.start()
		if got := w.states(); got != [2]State{Pending, Registered} {
			t.Fatalf("states are %v, want na pending and eu registered", got)
		}
		close(w.tesla.hold[fleetapi.NA])
		w.want(Registered)
		w.stop()
	})
	inWorld("stops while a request is under way", t, func(w *world) {
		w.tesla.hold[fleetapi.NA] = make(chan struct{})
		w.start()
		w.stop()
	})
}

func TestWaitsForWhatIsMissing(t *testing.T) {
	inWorld("credentials", t, func(w *world) {
		w.clientID = ""
		w.start()
		w.want(WaitingForCredentials)
		time.Sleep(time.Minute)
		w.change(func() { w.clientID = "id" })
		w.registrar.Wake("example.com")
		w.want(Registered)
		w.stop()
	})
	inWorld("certificate", t, func(w *world) {
		w.certificate = false
		w.start()
		w.want(Pending)
		if w.looked() != 0 {
			t.Error("looks from outside without a certificate")
		}
		w.change(func() { w.certificate = true })
		w.registrar.Wake("example.com")
		w.want(Registered)
		w.stop()
	})
	inWorld("another certificate in place of a bad one", t, func(w *world) {
		w.look = reach.Report{Verdict: reach.Unreachable, Reason: reach.ReasonTLSExpired}
		w.start()
		w.want(Unreachable)
		time.Sleep(time.Hour) // the next look by itself is minutes away
		synctest.Wait()
		w.change(func() { w.look = reach.Report{Verdict: reach.Reachable} })
		w.want(Unreachable)
		w.registrar.Wake("example.com")
		w.want(Registered)
		before := w.looked()
		w.registrar.Wake("example.com") // a good look stays good
		synctest.Wait()
		if got := w.looked(); got != before {
			t.Errorf("%d looks after a good one, want none", got-before)
		}
		w.stop()
	})
	inWorld("reachability", t, func(w *world) {
		w.look = reach.Report{Verdict: reach.Unreachable, Reason: reach.ReasonRedirect}
		w.start()
		w.want(Unreachable)
		w.wantPosts(0, 0)
		w.change(func() { w.look = reach.Report{Verdict: reach.Reachable} })
		time.Sleep(12 * time.Second) // the first repetition of a look
		w.want(Registered)
		w.wantPosts(1, 1)
		w.stop()
	})
	inWorld("inconclusive does not hold back", t, func(w *world) {
		w.look = reach.Report{Verdict: reach.Inconclusive, Reason: reach.ReasonTimeout}
		w.start()
		w.want(Registered)
		w.stop()
	})
}

// TestAsksSeldomWithoutRegistration waits for a person for two days: what Tesla
// says meanwhile is known.
func TestAsksSeldomWithoutRegistration(t *testing.T) {
	inWorld("", t, func(w *world) {
		w.look = reach.Report{Verdict: reach.Unreachable, Reason: reach.ReasonStatus}
		w.start()
		w.want(Unreachable)
		time.Sleep(48 * time.Hour)
		if n := w.asks(); n > 10 { // at once, after an hour, and then every six
			t.Errorf("asked %d times in two days", n)
		}
		w.change(func() { w.look = reach.Report{Verdict: reach.Reachable} })
		time.Sleep(15 * time.Minute)
		w.want(Registered)
		w.stop()
	})
}

func TestNothingIsOverwritten(t *testing.T) {
	inWorld("another key is a mismatch", t, func(w *world) {
		w.tesla.keys[fleetapi.NA], w.tesla.keys[fleetapi.EU] = theirs, theirs
		w.start()
		w.want(Mismatch)
		time.Sleep(48 * time.Hour)
		w.want(Mismatch)
		w.wantPosts(0, 0)
		if got := w.asks(); got > 10 {
			t.Errorf("asked %d times in 2 days, want a slow rhythm", got)
		}
		w.stop()
	})
	inWorld("until the operator accepts", t, func(w *world) {
		w.tesla.keys[fleetapi.NA], w.tesla.keys[fleetapi.EU] = theirs, theirs
		w.accept = only(ours)
		w.start()
		w.want(Registered)
		w.wantPosts(1, 1)
		w.stop()
	})
	inWorld("until a rotation accepts, in a running process, and over what it names only", t, func(w *world) {
		s := w.storage
		w.accept = func(key, over keystore.Key) bool {
			a, err := LoadAcceptance(context.Background(), s, "example.com")
			return err == nil && a.Allows(key, over)
		}
		w.tesla.download = w.keys.Key
		w.start()
		w.want(Registered)
		w.change(func() { w.tesla.keys[fleetapi.EU] = theirs }) // behind our back, not noticed yet
		a := Acceptance{Key: third.Fingerprint(), Over: []string{ours.Fingerprint()}, Former: ours.Fingerprint(), At: time.Now()}
		if err := StoreAcceptance(context.Background(), s, "example.com", a); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.want(Registered)
		w.wantPosts(1, 1) // the acceptance alone changes nothing
		w.keys.set(third)
		w.registrar.Wake("example.com")
		synctest.Wait()
		if got := w.states(); got != [2]State{Registered, Mismatch} {
			t.Errorf("states are %v, want na registered and eu left alone", got)
		}
		w.wantPosts(2, 1)
		if got := w.logs.FilterMessageSnippet("replacing the registered key").FilterField(zap.String("former_fingerprint", ours.Fingerprint())).Len(); got != 1 {
			t.Errorf("%d lines say that a key is replaced, want one", got)
		}
		w.keys.set(ours) // rolled back: nothing allows it to replace the new key
		w.registrar.Wake("example.com")
		w.want(Mismatch)
		w.wantPosts(2, 1)
		w.stop()
	})
	inWorld("drift is found within a day", t, func(w *world) {
		w.start()
		w.want(Registered)
		w.change(func() { w.tesla.keys[fleetapi.EU] = theirs })
		time.Sleep(27 * time.Hour)
		synctest.Wait()
		if got := w.states(); got != [2]State{Registered, Mismatch} {
			t.Errorf("states are %v, want a mismatch in eu", got)
		}
		w.wantPosts(1, 1)
		w.stop()
	})
	inWorld("a registration that vanished is made again", t, func(w *world) {
		w.start()
		w.want(Registered)
		w.change(func() { delete(w.tesla.keys, fleetapi.NA) })
		time.Sleep(27 * time.Hour)
		w.want(Registered)
		w.wantPosts(2, 1)
		w.stop()
	})
}

func TestKeys(t *testing.T) {
	inWorld("made at once without credentials", t, func(w *world) {
		w.keys.key, w.clientID = keystore.Key{}, ""
		w.start()
		if w.keys.generated != 1 {
			t.Error("no key was made")
		}
		w.stop()
	})
	inWorld("made after every region said that it has none", t, func(w *world) {
		w.keys.key = keystore.Key{}
		w.start()
		w.want(Registered)
		if w.keys.generated != 1 || w.keys.restored != 0 {
			t.Errorf("made %d and restored %d keys, want one made", w.keys.generated, w.keys.restored)
		}
		w.stop()
	})
	inWorld("restored from what Tesla has", t, func(w *world) {
		w.keys.key, w.tesla.keys[fleetapi.EU], w.tesla.keys[fleetapi.NA] = keystore.Key{}, theirs, theirs
		w.start()
		w.want(Registered)
		if w.keys.generated != 0 || w.keys.Key() != theirs {
			t.Errorf("made %d keys and hosts %v, want Tesla's restored", w.keys.generated, w.keys.Key())
		}
		w.wantPosts(0, 0)
		w.stop()
	})
	inWorld("not made while Tesla is silent", t, func(w *world) {
		w.keys.key = keystore.Key{}
		w.tesla.refuse = func(op fleetapi.Operation) error { return refusal(fleetapi.InternalError, op) }
		w.start()
		w.want(Unavailable)
		time.Sleep(24 * time.Hour)
		if w.keys.made() != 0 {
			t.Error("a key was made though Tesla did not answer")
		}
		w.change(func() { w.tesla.refuse = nil })
		time.Sleep(8 * time.Hour)
		w.want(Registered)
		w.stop()
	})
	inWorld("not made on what Tesla said to an earlier process", t, func(w *world) {
		w.start()
		w.want(Registered)
		w.stop()
		// Another host registers its key, while this one is off and its disk is lost.
		w.remember(fleetapi.NA, Answer{At: time.Now(), Next: time.Now().Add(time.Hour), ClientID: "id"})
		w.remember(fleetapi.EU, Answer{At: time.Now(), Next: time.Now().Add(time.Hour), ClientID: "id"})
		w.tesla.keys[fleetapi.NA], w.tesla.keys[fleetapi.EU] = theirs, theirs
		w.keys.set(keystore.Key{})
		w.tesla.refuse = func(op fleetapi.Operation) error { return refusal(fleetapi.InternalError, op) }
		time.Sleep(10 * time.Minute)
		w.start()
		w.want(Unavailable)
		w.change(func() { w.tesla.refuse = nil })
		time.Sleep(time.Minute)
		w.want(Registered)
		if w.keys.made() != 0 || w.keys.Key() != theirs {
			t.Errorf("made %d keys and hosts %v, want Tesla's restored", w.keys.made(), w.keys.Key())
		}
		w.stop()
	})
	inWorld("restored from memory where the credentials are lost, too", t, func(w *world) {
		w.remember(fleetapi.NA, Answer{At: time.Now(), Next: time.Now().Add(time.Hour), ClientID: "id", Key: theirs.Hex()})
		w.keys.key, w.clientID = keystore.Key{}, ""
		w.start()
		w.want(WaitingForCredentials)
		if w.keys.made() != 0 || w.keys.Key() != theirs {
			t.Errorf("made %d keys and hosts %v, want the one that Tesla had", w.keys.made(), w.keys.Key())
		}
		w.stop()
	})
	inWorld("a key that cannot be written is tried again", t, func(w *world) {
		w.keys.key, w.keys.err = keystore.Key{}, errors.New("disk is full")
		w.start()
		w.want(Pending)
		if note := w.registrar.Snapshot().Sites[0].KeyNote; note == nil || note.Seen != "disk is full" || !strings.Contains(note.Fix, "make room there") {
			t.Errorf("the note is %+v, want the error and what to do", note)
		}
		w.keys.mend()
		time.Sleep(time.Minute)
		w.want(Registered)
		w.stop()
	})
	inWorld("a changed key is a mismatch", t, func(w *world) {
		w.start()
		w.want(Registered)
		w.keys.set(third)
		w.registrar.Wake("example.com")
		w.want(Mismatch)
		w.wantPosts(1, 1)
		w.stop()
	})
}

func TestRefusals(t *testing.T) {
	refuse := func(w *world, code fleetapi.ReasonCode) {
		w.tesla.refuse = func(op fleetapi.Operation) error {
			if op == fleetapi.OpRegister {
				return refusal(code, op)
			}
			return nil
		}
	}
	inWorld("a person must act: slowly, and at once with new credentials", t, func(w *world) {
		refuse(w, fleetapi.RootDomainMismatch)
		w.start()
		w.want(Refused)
		time.Sleep(24 * time.Hour)
		if got := w.posts(fleetapi.NA); got < 3 || got > 20 {
			t.Errorf("posted %d times in a day", got)
		}
		before := w.posts(fleetapi.NA)
		w.change(func() { w.tesla.refuse, w.clientID = nil, "other" })
		w.registrar.Wake("example.com")
		w.want(Registered)
		w.wantPosts(before+1, before+1)
		w.stop()
	})
	inWorld("survives a restart without another request", t, func(w *world) {
		refuse(w, fleetapi.DomainTaken)
		w.start()
		w.want(Refused)
		w.stop()
		w.wantPosts(1, 1)
		asks := w.asks()
		w.start()
		w.want(Refused)
		w.wantPosts(1, 1)
		if w.asks() != asks {
			t.Error("asks again right after the restart")
		}
		w.stop()
	})
	inWorld("taken by ourselves is proved, not assumed", t, func(w *world) {
		w.tesla.onPost = func(fleetapi.Region) bool { return true }
		w.tesla.refuse = func(op fleetapi.Operation) error {
			if op == fleetapi.OpRegister { // Tesla has it all along, but did not say so when asked first
				w.tesla.keys[fleetapi.NA], w.tesla.keys[fleetapi.EU] = ours, ours
				return refusal(fleetapi.KeyTaken, op)
			}
			return nil
		}
		w.start()
		w.want(Registered)
		w.stop()
	})
	inWorld("taken by another is refused", t, func(w *world) {
		refuse(w, fleetapi.KeyTaken)
		w.start()
		w.want(Refused)
		if note := w.registrar.Snapshot().Sites[0].Regions[0].Note; note.Reason != string(fleetapi.KeyTaken) || note.Fix == "" {
			t.Errorf("the note is %+v, want key_taken with its fix", note)
		}
		w.stop()
	})
	inWorld("accepted but not to be read back", t, func(w *world) {
		w.tesla.onPost = func(fleetapi.Region) bool { return false }
		w.start()
		w.want(Unavailable)
		if note := w.registrar.Snapshot().Sites[0].Regions[0].Note; note.Reason != ReasonNotReadBack {
			t.Errorf("the note is %+v, want %s", note, ReasonNotReadBack)
		}
		w.change(func() { w.tesla.onPost = nil })
		time.Sleep(time.Minute)
		w.want(Registered)
		w.stop()
	})
	inWorld("accepted, but another key is read back", t, func(w *world) {
		w.tesla.download = func() keystore.Key { return theirs }
		w.start()
		synctest.Wait()
		for _, r := range w.registrar.Snapshot().Sites[0].Regions {
			if r.State != Mismatch {
				t.Errorf("state is %s, want mismatch", r.State)
			}
		}
		w.wantPosts(1, 1)
		w.stop()
	})
	inWorld("Tesla's own word on when to come again", t, func(w *world) {
		w.tesla.refuse = func(op fleetapi.Operation) error {
			e := refusal(fleetapi.RateLimited, op)
			e.RetryAfter = time.Now().Add(5 * time.Hour)
			return e
		}
		w.start()
		w.want(Unavailable)
		asks := w.asks()
		time.Sleep(5 * time.Hour)
		if w.asks() != asks {
			t.Error("asked before Tesla's time")
		}
		w.change(func() { w.tesla.refuse = nil })
		time.Sleep(10 * time.Minute)
		w.want(Registered)
		w.stop()
	})
	inWorld("a failed download makes us look again", t, func(w *world) {
		refuse(w, fleetapi.KeyDownloadFailed)
		w.start()
		synctest.Wait()
		if w.looked() < 2 {
			t.Errorf("looked %d times, want again after the failed download", w.looked())
		}
		w.stop()
	})
}

func TestLogSaysEachChangeOnce(t *testing.T) {
	inWorld("quiet", t, func(w *world) {
		w.start()
		w.want(Registered)
		time.Sleep(72 * time.Hour)
		w.want(Registered)
		if got := w.logs.FilterMessage("registration").FilterField(zap.String("state", "registered")).Len(); got != 2 {
			t.Errorf("%d lines say registered in 3 days, want one a region", got)
		}
		if got := w.logs.FilterFieldKey("pairing_link").Len(); got != 1 {
			t.Errorf("%d lines show the pairing link, want one", got)
		}
		w.stop()
	})
}

func TestDamagedRecordCostsOneQuestion(t *testing.T) {
	for _, damage := range []string{"", "{", "\x00\x00", `{"answer":{"client_id":"id","key":"zz","next":"2999-01-01T00:00:00Z"}}`,
		`{"answer":{"at":"1999-01-01T00:00:00Z","client_id":"id","next":"2999-01-01T00:00:00Z"}}`,
		`{"failure":{"at":"1999-01-01T00:00:00Z","next":"2999-01-01T00:00:00Z","application":"digest of id","fingerprint":"` + ours.Fingerprint() + `"}}`} {
		inWorld("", t, func(w *world) {
			w.tesla.keys[fleetapi.NA], w.tesla.keys[fleetapi.EU] = ours, ours
			_ = w.storage.Store(context.Background(), RecordKey("example.com", fleetapi.NA), []byte(damage))
			w.start()
			w.want(Registered)
			w.wantPosts(0, 0)
			w.stop()
		})
	}
}

// TestClockThatWasAhead has records of a process whose clock was years ahead, or
// that is behind now: nothing waits for those times, and nothing is posted on
// what seems to be the freshest answer of all.
func TestClockThatWasAhead(t *testing.T) {
	inWorld("an answer", t, func(w *world) {
		later := time.Now().AddDate(5, 0, 0)
		w.remember(fleetapi.NA, Answer{At: later, Next: later.Add(time.Hour), ClientID: "id"})
		w.remember(fleetapi.EU, Answer{At: later, Next: later.Add(time.Hour), ClientID: "id", Key: ours.Hex()})
		w.tesla.keys[fleetapi.NA], w.tesla.keys[fleetapi.EU] = theirs, theirs
		w.start()
		w.want(Mismatch)
		w.wantPosts(0, 0)
		w.stop()
	})
	inWorld("a failure", t, func(w *world) {
		later := time.Now().AddDate(5, 0, 0)
		data, err := json.Marshal(Record{Failure: &Failure{At: later, Next: later.Add(time.Hour), Count: 7, Operation: "register",
			Reason: "unauthorized_client", Application: "digest of id", Fingerprint: ours.Fingerprint()}})
		if err != nil {
			t.Fatal(err)
		}
		_ = w.storage.Store(context.Background(), RecordKey("example.com", fleetapi.NA), data)
		w.start()
		w.want(Registered)
		if w.asks() != 2 { // before the registration, and to read it back
			t.Errorf("asked %d times, want 2", w.asks())
		}
		w.wantPosts(1, 1)
		w.stop()
	})
}

// TestPanicInALook: it ends neither the process nor the site, which goes on later.
func TestPanicInALook(t *testing.T) {
	inWorld("in the first look", t, func(w *world) {
		registry := prometheus.NewRegistry()
		var looks atomic.Int32
		r, err := New(Config{Sites: []Site{w.site()}, Storage: w.storage, Registerer: registry, Prober: proberFunc(func() reach.Report {
			if looks.Add(1) == 1 {
				panic("Canary7f3a")
			}
			return reach.Report{Verdict: reach.Reachable}
		})})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		w.registrar = r
		synctest.Wait()
		if got := w.states(); looks.Load() != 1 || got == [2]State{Registered, Registered} {
			t.Errorf("%d looks; the states are %v", looks.Load(), got)
		}
		time.Sleep(2 * time.Minute)
		w.want(Registered)
		families, err := registry.Gather()
		if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetCounter().GetValue() != 1 {
			t.Errorf("gathered %v, %v, want one panic", families, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
