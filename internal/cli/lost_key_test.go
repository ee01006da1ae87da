package cli_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// TestDataDirectoryLost: the registered key is what cars trust, so it is hosted
// again, and no other one is made or registered.
func TestDataDirectoryLost(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	first := w.run()
	w.awaitRegistered()
	private, err := os.ReadFile(w.keyFile())
	if err != nil {
		t.Fatal(err)
	}
	key := mustParse(t, private)
	first.Stop()
	if err := os.RemoveAll(w.DataDir); err != nil {
		t.Fatal(err)
	}

	second := w.run()
	status := w.awaitRegistered()
	w.wantRestored(status, key)
	if visit, err := w.AwaitFetch(w.ctx); err != nil || string(visit.Body) != string(key.PEM()) {
		t.Errorf("served %q, %v", visit.Body, err)
	}
	w.awaitLine(second.Log, "key changed", "origin", "restored", "fingerprint", key.Fingerprint())
	w.awaitLine(second.Log, "key needs attention", "level", "warn", "warning", status.Sites[0].Key.Warnings[0])
	second.Stop()

	// It stays so over restarts, until the private half is put back.
	third := w.run()
	w.wantRestored(w.awaitRegistered(), key)
	w.awaitLine(third.Log, "key loaded", "origin", "restored")
	w.replace(w.keyFile(), private)
	status = w.await("the private half", func(s admin.Status) bool { return s.Sites[0].Key.PrivateHalf })
	if k := status.Sites[0].Key; k.MustBeRestored || k.Origin != string(keystore.OriginFile) || len(k.Warnings) > 0 {
		t.Errorf("the private half is back, and the status says %+v", k)
	}
	w.wantServed(key)
	w.wantRegistered(key, fleetapi.NA, fleetapi.EU)
	w.wantPosts(2) // those of the first run
}

// TestKeyLostForGood: where there is no backup, "wellkey rotate" makes another key, as
// the status says, and it is registered in place of the lost one.
func TestKeyLostForGood(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	first := w.run()
	w.awaitRegistered()
	first.Stop()
	if err := os.RemoveAll(w.DataDir); err != nil {
		t.Fatal(err)
	}
	w.run()
	status := w.awaitRegistered()
	i := slices.IndexFunc(status.Sites[0].Checklist, func(c admin.Check) bool { return c.ID == "key" })
	if fix := status.Sites[0].Checklist[i].Fix; !strings.Contains(fix, `Where it is lost for good, "wellkey rotate" makes another`) {
		t.Errorf("the fix is %q", fix)
	}
	if s := w.command(nil, "rotate"); s.code != 3 || !strings.Contains(strings.Join(strings.Fields(s.out), " "), "If the private half of the old key is kept elsewhere") {
		t.Fatalf("got %+v", s)
	}
	staged, err := os.ReadFile(filepath.Join(w.DataDir, "staged-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key := mustParse(t, staged)
	if s := w.command(nil, "rotate", "--confirm", key.Fingerprint()); s.code != 0 && s.code != 3 {
		t.Fatalf("got %+v", s)
	}
	w.await("the new key", func(s admin.Status) bool {
		k := s.Sites[0].Key
		return k.Fingerprint == key.Fingerprint() && k.PrivateHalf && !k.MustBeRestored
	})
	w.awaitRegistered()
	w.wantRegistered(key, fleetapi.NA, fleetapi.EU)
}

// wantRestored wants the status to say that only the public half is there.
func (w *world) wantRestored(s admin.Status, key keystore.Key) {
	w.t.Helper()
	k := s.Sites[0].Key
	if k.Origin != string(keystore.OriginRestored) || !k.MustBeRestored || k.PrivateHalf || k.Fingerprint != key.Fingerprint() || len(k.Warnings) != 1 {
		w.t.Errorf("the status says of the restored key: %+v", k)
	}
	w.wantNoKeyFile()
}

func (w *world) wantNoKeyFile() {
	w.t.Helper()
	if _, err := os.Lstat(w.keyFile()); !errors.Is(err, fs.ErrNotExist) {
		w.t.Errorf("there is a key file: %v", err)
	}
}

// TestDataDirectoryLostInOneRegion: where only one region has a key, the other
// one gets the same.
func TestDataDirectoryLostInOneRegion(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	_, key := newKey(t)
	w.enroll(key, fleetapi.NA)
	w.run()
	w.wantRestored(w.awaitRegistered(), key)
	w.wantRegistered(key, fleetapi.NA, fleetapi.EU)
	if got := w.Tesla.Count(fleetapi.OpRegister, fleetapi.NA); got != 0 {
		t.Errorf("%d POSTs where it was registered already", got)
	}
}

// TestNoKeyWhileTeslaIsSilent: as long as one region might have a key, none is
// made, and visitors are told to come back.
func TestNoKeyWhileTeslaIsSilent(t *testing.T) {
	t.Parallel()
	silences := map[string]func(*world){
		"it hangs": func(w *world) {
			w.Tesla.Break(fleetsim.Hang, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.EU}})
		},
		"it has no tokens": func(w *world) {
			w.inject(fleetapi.Unavailable, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpToken}})
		},
		"it fails": func(w *world) {
			w.inject(fleetapi.InternalError, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpPublicKey}})
		},
		"its answer is no key": func(w *world) {
			w.Tesla.Answer(fleetapi.Example{Status: 200, Body: `{"response":{"public_key":"04beef"}}`},
				fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpPublicKey}})
		},
	}
	for name, silence := range silences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRegistrable(t)
			_, key := newKey(t)
			w.enroll(key, fleetapi.EU)
			silence(w)
			r := w.run()
			status := w.await("a certificate, and Tesla being asked", func(s admin.Status) bool {
				return s.Sites[0].Certificate.Have && len(w.Tesla.Requests()) >= 2 && s.Sites[0].Key.Missing != nil
			})
			missing := status.Sites[0].Key.Missing
			if missing.Reason != registrar.ReasonAsking || missing.Seen == "" || missing.Fix == "" {
				t.Errorf("the status says of the missing key: %+v", missing)
			}
			w.awaitLine(r.Log, "no key yet: asking Tesla before one is made", "reason", registrar.ReasonAsking)
			visit := w.fetch()
			if visit.Status != 503 || visit.Header.Get("Retry-After") == "" || visit.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("the key's path answers %d with %v", visit.Status, visit.Header)
			}
			if ready := w.get("/readyz"); ready.Status != 503 {
				t.Errorf("/readyz answers %d %q", ready.Status, ready.Body)
			}
			if health := w.get("/healthz"); health.Status != 200 {
				t.Errorf("/healthz answers %d: a restart would not help", health.Status)
			}
			w.wantNoKeyFile()
			w.wantPosts(0)
		})
	}
}

// TestTeslaSpeaksAgain: when the silence is over, the key is restored by itself.
func TestTeslaSpeaksAgain(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	_, key := newKey(t)
	w.enroll(key, fleetapi.NA, fleetapi.EU)
	w.inject(fleetapi.Unavailable, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.EU}, Operations: []fleetapi.Operation{fleetapi.OpPublicKey}, Times: 1})
	w.run()
	w.await("the failure", func(s admin.Status) bool { return s.Sites[0].Registrations[1].State == registrar.Unavailable })
	w.wantNoKeyFile()
	w.wantRestored(w.awaitRegistered(), key)
	w.wantPosts(0)
}

// TestRegionsDisagree: between two registered keys only the operator can choose.
func TestRegionsDisagree(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	_, old := newKey(t)
	_, recent := newKey(t)
	w.enroll(old, fleetapi.NA)
	w.enroll(recent, fleetapi.EU)
	first := w.run()
	status := w.await("the disagreement", func(s admin.Status) bool {
		missing := s.Sites[0].Key.Missing
		return missing != nil && missing.Reason == registrar.ReasonRegionsDisagree
	})
	if missing := status.Sites[0].Key.Missing; missing.Cause == "" || missing.Fix == "" {
		t.Errorf("the status says %+v", missing)
	}
	w.awaitLine(first.Log, "no key to serve", "level", "error", "reason", registrar.ReasonRegionsDisagree)
	if visit := w.fetch(); visit.Status != 503 {
		t.Errorf("the key's path answers %d", visit.Status)
	}
	for i, want := range []keystore.Key{old, recent} {
		if got := status.Sites[0].Registrations[i].RegisteredFingerprint; got != want.Fingerprint() {
			t.Errorf("the status does not name the key of region %d to choose from: %q", i, got)
		}
	}
	w.wantNoKeyFile()
	w.wantPosts(0)
	first.Stop()

	w.run("ACCEPT_KEY=" + recent.Fingerprint())
	w.wantRestored(w.awaitRegistered(), recent)
	w.wantRegistered(recent, fleetapi.NA, fleetapi.EU)
	w.wantPosts(1)
}

// TestStartedWithoutCredentials: a key that was made before anybody could be
// asked never replaces the registered one by itself.
func TestStartedWithoutCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withFiles)
	_, old := newKey(t)
	w.enroll(old, fleetapi.NA, fleetapi.EU)
	first := w.run()
	w.awaitStates(registrar.WaitingForCredentials, registrar.WaitingForCredentials)
	w.await("a key", func(s admin.Status) bool { return s.Sites[0].Key.PrivateHalf })
	w.writeCredentials()
	status := w.awaitStates(registrar.Mismatch, registrar.Mismatch)
	fresh := status.Sites[0].Key.Fingerprint
	for _, r := range status.Sites[0].Registrations {
		if r.Reason != registrar.ReasonOtherKey || r.Seen == "" || r.Cause == "" || r.Fix == "" || r.RegisteredFingerprint != old.Fingerprint() {
			t.Errorf("the status says of %s: %+v", r.Region, r)
		}
		w.awaitLine(first.Log, "registration", "level", "error", "region", string(r.Region), "state", "mismatch",
			"registered_fingerprint", old.Fingerprint(), "seen", r.Seen, "fix", r.Fix)
	}
	w.wantRegistered(old, fleetapi.NA, fleetapi.EU)
	w.wantPosts(0)
	first.Stop()

	// Another fingerprint than the hosted one changes nothing.
	second := w.run("ACCEPT_KEY=" + old.Fingerprint())
	w.awaitStates(registrar.Mismatch, registrar.Mismatch)
	w.wantPosts(0)
	second.Stop()

	w.run("ACCEPT_KEY=" + fresh)
	w.awaitRegistered()
	w.wantPosts(2)
	if now := w.Registered(fleetapi.NA); now == old.Hex() {
		t.Error("the accepted key is not registered")
	}
}

// TestSomebodyElseRegisteredMeanwhile: what Tesla said before a long stop is not
// what counts when a registration is posted after it.
func TestSomebodyElseRegisteredMeanwhile(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.DNS.Set(w.Domain) // no address
	first := w.run()
	w.awaitStates(registrar.Unreachable, registrar.Unreachable)
	first.Stop()

	for path, text := range w.files() {
		if filepath.Ext(path) != ".json" || !strings.Contains(path, "registrations") {
			continue
		}
		var record map[string]map[string]any
		if err := json.Unmarshal(text, &record); err != nil || record["answer"]["key"] != "" {
			t.Fatalf("the record %s is %s, %v", path, text, err)
		}
		record["answer"]["at"] = time.Now().Add(-30 * time.Minute)
		text, _ = json.Marshal(record) // it was JSON a moment ago
		w.replace(path, text)
	}
	_, theirs := newKey(t)
	w.enroll(theirs, fleetapi.NA, fleetapi.EU)
	host, _, _ := net.SplitHostPort(w.HTTPSAddr)
	w.DNS.Set(w.Domain, "A "+host)
	w.run()
	w.awaitStates(registrar.Mismatch, registrar.Mismatch)
	w.wantRegistered(theirs, fleetapi.NA, fleetapi.EU)
	w.wantPosts(0)
}

func (w *world) inject(code fleetapi.ReasonCode, limit fleetsim.Limit) {
	w.t.Helper()
	if err := w.Tesla.Inject(code, limit); err != nil {
		w.t.Fatal(err)
	}
}
