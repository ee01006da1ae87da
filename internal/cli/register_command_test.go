package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"wellkey/internal/fleetsim"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// A key is registered wherever it is hosted, in every region, and once.
func TestRegister(t *testing.T) {
	w := newRegistrable(t, withFiles)
	_, key := newKey(t)
	w.host(key.PEM())
	for _, want := range []string{"Registered now, and read back.", "Tesla had this key already; nothing was done."} {
		s := w.command(nil, "register")
		if s.code != 0 || s.errors != "" || strings.Count(s.out, want) != 2 {
			t.Fatalf("exit code %d, want 0 and %q twice; %s\n%s", s.code, want, s.errors, s.out)
		}
		for _, text := range []string{"ok         " + w.Domain + " is registered in na and eu.\n", "\n  https://tesla.com/_ak/" + w.Domain + "\n"} {
			if !strings.Contains(s.out, text) {
				t.Errorf("no %q in\n%s", text, s.out)
			}
		}
		w.wantRegistered(key, fleetapi.NA, fleetapi.EU)
		w.wantPosts(2)
	}
	if s := w.command(nil, "doctor"); s.code != 0 {
		t.Errorf("the doctor does not agree: %s", s.out)
	}
}

func TestRegisterJSON(t *testing.T) {
	w := newRegistrable(t, withFiles)
	_, key := newKey(t)
	w.host(key.PEM())
	if err := w.Tesla.Inject(fleetapi.RootDomainMismatch, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.EU}, Operations: []fleetapi.Operation{fleetapi.OpRegister}}); err != nil {
		t.Fatal(err)
	}
	s := w.command(nil, "register", "--json")
	var got map[string]any
	if err := json.Unmarshal([]byte(s.out), &got); err != nil {
		t.Fatalf("%v: %s%s", err, s.out, s.errors)
	}
	regions := got["regions"].([]any)
	na, eu := regions[0].(map[string]any), regions[1].(map[string]any)
	for name, ok := range map[string]bool{
		"exit code":    s.code == 1,
		"domain":       got["domain"] == w.Domain,
		"key":          got["key_fingerprint"] == key.Fingerprint(),
		"outcome":      got["outcome"] == "fix",
		"look":         got["look"].(map[string]any)["status"] == "ok",
		"na":           na["state"] == "registered" && na["done"] == true && na["registered_fingerprint"] == key.Fingerprint(),
		"link":         na["pairing_link"] == "https://tesla.com/_ak/"+w.Domain && eu["pairing_link"] == nil,
		"eu":           eu["state"] == "refused" && eu["reason"] == "root_domain_mismatch" && eu["done"] == false,
		"Tesla's text": strings.Contains(eu["seen"].(string), "must match registered allowed origin") && eu["txid"] != "",
		"fix":          strings.Contains(eu["fix"].(string), "add https://"+w.Domain+" to the allowed origins"),
	} {
		if !ok {
			t.Errorf("%s is wrong in %s", name, s.out)
		}
	}
}

// The guard is the daemon's: another key is replaced only where its fingerprint
// is accepted.
func TestRegisterNeverReplacesAnotherKey(t *testing.T) {
	w := newRegistrable(t, withFiles)
	_, key := newKey(t)
	_, former := newKey(t)
	_, third := newKey(t)
	w.host(key.PEM())
	w.enroll(former, fleetapi.NA, fleetapi.EU)
	for _, accepted := range [][]string{nil, {"--accept-key", former.Fingerprint()}, {"--accept-key", third.Fingerprint()}} {
		s := w.command(nil, append([]string{"register"}, accepted...)...)
		if s.code != 1 || !strings.Contains(s.out, former.Fingerprint()) || !strings.Contains(s.out, "every owner must then pair again") {
			t.Errorf("accepted %q: exit code %d, want 1 and what to do:\n%s", accepted, s.code, s.out)
		}
	}
	w.wantPosts(0)
	w.wantRegistered(former, fleetapi.NA, fleetapi.EU)
	if s := w.command(nil, "register", "--accept-key", key.Fingerprint()); s.code != 0 {
		t.Errorf("exit code %d, want 0:\n%s", s.code, s.out)
	}
	w.wantRegistered(key, fleetapi.NA, fleetapi.EU)
}

// What keeps a key from being registered is found before Tesla is told.
func TestRegisterLooksFirst(t *testing.T) {
	key, public := newKey(t)
	for name, row := range map[string]struct {
		build func(*world)
		code  int
		says  string
	}{
		"nobody listens":          {func(*world) {}, 3, "refused the connection"},
		"private key":             {func(w *world) { w.host(key) }, 1, "ALARM"},
		"web page":                {func(w *world) { w.host([]byte("<!DOCTYPE html><html></html>")) }, 1, "web page"},
		"not the key file's":      {func(w *world) { w.host(public.PEM()); w.writeKey() }, 1, "another key"},
		"a key file that is none": {func(w *world) { w.host(public.PEM()); w.replace(w.keyFile(), []byte("hello")) }, 1, "key.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRegistrable(t, withFiles)
			row.build(w)
			s := w.command(nil, "register")
			if s.code != row.code || !strings.Contains(s.out+s.errors, row.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s%s", s.code, row.code, row.says, s.out, s.errors)
			}
			w.wantPosts(0)
		})
	}
}

// A registration that stands is not the whole of it: owners' phones fetch the key.
func TestRegisteredButNotPublished(t *testing.T) {
	w := newRegistrable(t, withFiles)
	_, public := newKey(t)
	w.host(public.PEM())
	w.enroll(w.writeKey(), fleetapi.NA, fleetapi.EU)
	s := w.command(nil, "register")
	if s.code != 1 || !strings.Contains(s.out, "Registered in na and eu; fix what is named above") || !strings.Contains(s.out, "another key") {
		t.Errorf("exit code %d, want 1 and that another key is published:\n%s", s.code, s.out)
	}
	w.wantPosts(0)
}

func TestRegisterWhileTeslaIsDown(t *testing.T) {
	w := newRegistrable(t, withFiles)
	_, key := newKey(t)
	w.host(key.PEM())
	if err := w.Tesla.Inject(fleetapi.Unavailable, fleetsim.Limit{Regions: []fleetapi.Region{fleetapi.EU}}); err != nil {
		t.Fatal(err)
	}
	s := w.command(nil, "register")
	if s.code != 3 || !strings.Contains(s.out, "Registered in na; the rest is open") {
		t.Errorf("exit code %d, want 3 and what is done:\n%s", s.code, s.out)
	}
	w.wantRegistered(key, fleetapi.NA)
}

func TestRegisterUsage(t *testing.T) {
	w := newWorld(t, withFiles)
	id := "WELLKEY_CLIENT_ID=" + testworld.ClientID
	for _, row := range []struct {
		environ []string
		args    []string
		says    string
	}{
		{w.probing(), []string{w.Domain}, "there are no credentials"},
		{nil, nil, "there are no credentials"},
		{w.probing(id), []string{w.Domain}, "without a client secret"},
		{w.probing(), nil, "domain: is not set"},
		{w.probing(), []string{"https://" + w.Domain}, "Write " + w.Domain},
		{w.probing(), []string{"a.example", "b.example"}, "takes one domain"},
		{w.Environ("DOMAIN=other.example.com"), []string{w.Domain}, "are for other.example.com, not for " + w.Domain},
	} {
		s := w.command(row.environ, append([]string{"register"}, row.args...)...)
		if s.code != 2 || s.out != "" || !strings.Contains(s.errors, row.says) {
			t.Errorf("register %q: exit code %d, want 2 and %q:\n%s%s", row.args, s.code, row.says, s.out, s.errors)
		}
	}
	if n := len(w.Tesla.Requests()); n != 0 {
		t.Errorf("Tesla was asked %d times", n)
	}
}
