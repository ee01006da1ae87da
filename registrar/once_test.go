package registrar_test

import (
	"context"
	"testing"

	"wellkey/internal/finding"
	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

func TestOnce(t *testing.T) {
	unreachable := reach.Report{Verdict: reach.Unreachable, Reason: reach.ReasonRedirect,
		Findings: []finding.Finding{{ID: "http_redirect", Status: finding.Fail, Seen: "It redirects.", Fix: "Do not redirect."}}}
	for name, tc := range map[string]struct {
		build  func(*world)
		state  State
		reason string
		posts  int
	}{
		"registers and reads back": {func(*world) {}, Registered, "", 1},
		"is registered already":    {func(w *world) { w.tesla.keys[fleetapi.NA] = ours; w.tesla.keys[fleetapi.EU] = ours }, Registered, "", 0},
		"never over another key":   {func(w *world) { w.tesla.keys[fleetapi.NA] = theirs; w.tesla.keys[fleetapi.EU] = theirs }, Mismatch, ReasonOtherKey, 0},
		"over another key, if accepted": {func(w *world) {
			w.tesla.keys[fleetapi.NA], w.tesla.keys[fleetapi.EU] = theirs, theirs
			w.accept = only(ours)
		}, Registered, "", 1},
		"not where it is unreachable":         {func(w *world) { w.look = unreachable }, Unreachable, reach.ReasonRedirect, 0},
		"where our own look does not tell":    {func(w *world) { w.look = reach.Report{Verdict: reach.Inconclusive, Reason: reach.ReasonTimeout} }, Registered, "", 1},
		"without a certificate of our own":    {func(w *world) { w.certificate = false }, Registered, "", 1},
		"not without credentials":             {func(w *world) { w.clientID = "" }, WaitingForCredentials, ReasonNoCredentials, 0},
		"Tesla refuses, once":                 {func(w *world) { w.tesla.refuse = refusing(fleetapi.RootDomainMismatch, fleetapi.OpRegister) }, Refused, "root_domain_mismatch", 1},
		"Tesla does not answer, and is left":  {func(w *world) { w.tesla.refuse = refusing(fleetapi.Unavailable, fleetapi.OpPublicKey) }, Unavailable, "unavailable", 0},
		"accepted, and does not arrive there": {func(w *world) { w.tesla.onPost = func(fleetapi.Region) bool { return false } }, Unavailable, ReasonNotReadBack, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.build(w)
			got := Once(context.Background(), w.site(), w.prober(), nil)
			for _, r := range got.Regions {
				if r.State != tc.state || r.Note.Reason != tc.reason {
					t.Errorf("%s: %s %q, want %s %q", r.Region, r.State, r.Note.Reason, tc.state, tc.reason)
				}
				if fresh := !r.RegisteredAt.IsZero(); fresh != (tc.state == Registered && tc.posts > 0) {
					t.Errorf("%s: registered at %v after %d posts", r.Region, r.RegisteredAt, tc.posts)
				}
			}
			w.wantPosts(tc.posts, tc.posts)
			if got.Look == nil || w.looked() != 1 {
				t.Errorf("look %v after %d looks, want one", got.Look, w.looked())
			}
			if len(w.storage.data) > 0 {
				t.Error("something is remembered")
			}
		})
	}
}

// refusing refuses one operation.
func refusing(code fleetapi.ReasonCode, only fleetapi.Operation) func(fleetapi.Operation) error {
	return func(op fleetapi.Operation) error {
		if op != only {
			return nil
		}
		return refusal(code, op)
	}
}

func TestOnceEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	w.tesla.hold[fleetapi.NA] = hold
	ctx, cancel := context.WithCancel(context.Background())
	w.tesla.onPost = func(fleetapi.Region) bool { cancel(); return true }
	got := Once(ctx, w.site(), w.prober(), nil)
	if got.Regions[0].State != Pending || got.Regions[1].State == Mismatch {
		t.Errorf("states %s and %s, want na pending", got.Regions[0].State, got.Regions[1].State)
	}
}
