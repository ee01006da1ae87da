package cli_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testnet"
	"wellkey/internal/testworld"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// TestBadKeyFile: a bad change of the key file is told, and the last good key
// stays; so it does when the file vanishes.
func TestBadKeyFile(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	text, key := newKey(t)
	w.replace(w.keyFile(), text)
	r := w.run()
	w.awaitRegistered()
	good := `wellkey_key_file_good{domain="` + w.Domain + `"}`

	w.replace(w.keyFile(), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	status := w.await("the bad change", func(s admin.Status) bool { return s.Sites[0].Key.LastBadChange != "" })
	w.awaitLine(r.Log, "key file is bad, the last good key stays", "level", "error", "error", status.Sites[0].Key.LastBadChange)
	if !strings.Contains(status.Sites[0].Key.LastBadChange, "certificate") || !status.Ready {
		t.Errorf("the status says %+v", status.Sites[0].Key)
	}
	if m := w.metrics(); m[good] != "0" {
		t.Errorf("%s is %q", good, m[good])
	}
	w.wantServed(key)

	w.replace(w.keyFile(), text)
	w.await("the good file", func(s admin.Status) bool { return s.Sites[0].Key.LastBadChange == "" })
	w.awaitLine(r.Log, "key file is good again")
	if m := w.metrics(); m[good] != "1" {
		t.Errorf("%s is %q", good, m[good])
	}
	w.awaitRegistered()
	w.wantPosts(2)
}

// TestOtherKeyFile: another valid key is served, since the operator put it
// there, but the registered one is not replaced by it.
func TestOtherKeyFile(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	first, key := newKey(t)
	w.replace(w.keyFile(), first)
	r := w.run()
	w.awaitRegistered()
	other := w.writeKey()
	w.awaitStates(registrar.Mismatch, registrar.Mismatch)
	w.awaitLine(r.Log, "key changed", "fingerprint", other.Fingerprint(), "former_fingerprint", key.Fingerprint())
	w.wantServed(other)
	w.wantRegistered(key, fleetapi.NA, fleetapi.EU)
	w.replace(w.keyFile(), first)
	w.awaitRegistered()
	w.wantServed(key)
	w.wantPosts(2)
}

// TestHangup: SIGHUP reads key, credentials and certificate at once.
func TestHangup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withFiles)
	key := w.writeKey()
	p := w.exec()
	w.awaitStates(registrar.WaitingForCredentials, registrar.WaitingForCredentials)
	before := w.fetch().TLS.PeerCertificates[0]

	w.writeCredentials()
	w.sign(testca.LeafOptions{})
	w.signal(p, syscall.SIGHUP)
	w.awaitLine(p.Log, "reloaded")
	w.awaitLine(p.Log, "credentials in use", "client_id", testworld.ClientID)
	w.awaitRegistered()
	if w.fetch().TLS.PeerCertificates[0].Equal(before) {
		t.Error("the old certificate is served")
	}

	w.replace(w.keyFile(), []byte("no key\n"))
	w.replace(w.CertFile, []byte("no certificate\n"))
	w.signal(p, syscall.SIGHUP)
	e := w.awaitLine(p.Log, "reload left the last good state in use", "level", "error")
	for _, path := range []string{w.keyFile(), w.CertFile} {
		if !strings.Contains(e.Text("error"), path) {
			t.Errorf("the error does not name %s: %s", path, e.Text("error"))
		}
	}
	w.wantServed(key)
}

func (w *world) signal(p *testworld.Process, s syscall.Signal) {
	w.t.Helper()
	if err := p.Signal(s); err != nil {
		w.t.Fatal(err)
	}
}

// TestBadCredentials: credentials that stop being readable leave the last good
// ones in use, and what is wrong is told without them.
func TestBadCredentials(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	r := w.run()
	w.awaitRegistered()
	w.replace(w.CredentialsFile, []byte("client_id: "+testworld.ClientID+"\nclient_secret: ["+testworld.ClientSecret+"\n"))
	w.awaitLine(r.Log, "credentials not usable; the last good ones stay in use", "level", "error")
	w.awaitRegistered()
	w.wantPosts(2)
}

// TestPipeForCredentials: a pipe in the place of the file is told, keeps neither the
// status nor SIGHUP waiting for who writes into it, and the file is followed on.
func TestPipeForCredentials(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	p := w.exec()
	w.awaitRegistered()
	next := w.CredentialsFile + ".next"
	if err := errors.Join(syscall.Mkfifo(next, 0o600), os.Rename(next, w.CredentialsFile)); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("WELLKEY_CREDENTIALS_FILE: %q is a pipe, a socket or a device. Put a regular file in its place", w.CredentialsFile)
	if e := w.awaitLine(p.Log, "credentials not usable; the last good ones stay in use", "level", "error"); !strings.HasPrefix(e.Text("error"), want) {
		t.Errorf("the error is %q, want %s ...", e.Text("error"), want)
	}
	good := `wellkey_config_last_reload_successful{part="credentials"}`
	if m := w.metrics(); m[good] != "0" {
		t.Errorf("%s is %q", good, m[good])
	}
	w.signal(p, syscall.SIGHUP)
	if e := w.awaitLine(p.Log, "reload left the last good state in use", "level", "error"); !strings.Contains(e.Text("error"), want) {
		t.Errorf("the error is %q, want %s ...", e.Text("error"), want)
	}
	w.awaitRegistered()
	w.replace(w.CredentialsFile, []byte("client_id: 11111111-2222-4333-8444-555555555555\nclient_secret: ta-secret.of-another-one\n"))
	w.awaitLine(p.Log, "credentials in use", "client_id", "11111111-2222-4333-8444-555555555555")
}

// TestBadCredentialsAtStart: what is wrong with them is told everywhere, without
// them; the key is served all the same, and they are picked up once they are
// mended.
func TestBadCredentialsAtStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withFiles)
	w.replace(w.CredentialsFile, []byte("client_id: "+testworld.ClientID+"\nclient_secret: ["+testworld.ClientSecret+"\n"))
	if s := w.command(nil, "serve", "--check-config"); s.code != 2 || !strings.Contains(s.errors, "credentials.yaml") {
		t.Errorf("--check-config: exit code %d, want 2 and the file:\n%s", s.code, s.errors)
	}
	r := w.run()
	w.awaitLine(r.Log, "credentials not usable, so nothing is registered until they are fixed; the key is still served", "level", "error")
	w.await("a key", func(s admin.Status) bool { return s.Ready })
	w.awaitStates(registrar.WaitingForCredentials, registrar.WaitingForCredentials)
	s := w.await("the fault", func(s admin.Status) bool {
		return s.Sites[0].Registrations[0].Reason == registrar.ReasonBadCredentials
	})
	first := s.Sites[0].Registrations[0]
	if !strings.Contains(first.Seen, "credentials.yaml") || first.Fix == "" || s.Sites[0].Summary.State != admin.Action {
		t.Errorf("got %+v and %+v, want the fault and what to do", first, s.Sites[0].Summary)
	}
	if s := w.command(nil, "healthcheck"); s.code != 0 {
		t.Errorf("healthcheck: exit code %d, want 0:\n%s", s.code, s.errors)
	}
	if s := w.command(nil, "doctor"); s.code != 1 || !strings.Contains(s.out, "The credentials cannot be used") {
		t.Errorf("doctor: exit code %d, want 1 and the fault:\n%s%s", s.code, s.out, s.errors)
	}
	w.writeCredentials()
	w.awaitRegistered()
}

// TestOtherApplication: another application's credentials are used at once, and
// what Tesla answered to the one before does not count.
func TestOtherApplication(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.run()
	w.awaitRegistered()
	w.replace(w.CredentialsFile, []byte("client_id: 11111111-2222-4333-8444-555555555555\nclient_secret: ta-secret.of-another-one\n"))
	s := w.awaitStates(registrar.Refused, registrar.Refused)
	if reason := s.Sites[0].Registrations[0].Reason; reason != string(fleetapi.UnauthorizedClient) {
		t.Errorf("the reason is %s", reason)
	}
	w.writeCredentials()
	w.awaitRegistered()
	w.wantPosts(2)
}

// TestBehindProxy: with tls: off, a proxy in front ends TLS.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: w.HTTPAddr})
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	testnet.Serve(t, testnet.Listen(t, w.HTTPSAddr), w.cert(testca.LeafOptions{}), proxy)
	r := w.run("TLS=off", "TLS_CERT_FILE", "TLS_KEY_FILE", "HTTPS_ADDR")
	s := w.awaitRegistered()
	if err := w.Check(w.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		t.Error(err)
	}
	if c := s.Sites[0].Certificate; c.Source != "off" || len(s.Listeners) != 1 {
		t.Errorf("the status says of the certificate %+v, of listeners %+v", c, s.Listeners)
	}
	w.awaitLine(r.Log, "key reachable from outside")
}

// TestCertificateFiles: with tls: files, somebody else renews the certificate.
func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	r := w.run()
	w.awaitRegistered()
	if err := w.Check(w.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		t.Error(err)
	}
	before := w.fetch().TLS.PeerCertificates[0].SerialNumber
	w.sign(testca.LeafOptions{})
	w.awaitLine(r.Log, "certificate loaded")
	if now := w.fetch().TLS.PeerCertificates[0].SerialNumber; now.Cmp(before) == 0 {
		t.Error("the old certificate is served")
	}
	w.wantPosts(2)
}

// TestHangupAsksTeslaAgain: who has mended in Tesla's portal what was refused does not
// wait for hours, which a restart does not shorten.
func TestHangupAsksTeslaAgain(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.inject(fleetapi.RootDomainMismatch, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpRegister}})
	first := w.run()
	s := w.awaitStates(registrar.Refused, registrar.Refused)
	if fix := s.Sites[0].Registrations[0].Fix; !strings.Contains(fix, "SIGHUP makes wellkey ask Tesla again at once") {
		t.Errorf("the fix is %q", fix)
	}
	first.Stop()
	w.backdateFailures(time.Hour)

	p := w.exec()
	w.awaitStates(registrar.Refused, registrar.Refused)
	w.Tesla.Clear()
	w.signal(p, syscall.SIGHUP)
	w.awaitLine(p.Log, "Tesla is asked again at once, as requested", "reason", "root_domain_mismatch")
	w.awaitRegistered()
}

// backdateFailures makes what Tesla refused older, and the next attempt a day away.
func (w *world) backdateFailures(by time.Duration) {
	w.t.Helper()
	for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
		path := filepath.Join(w.DataDir, "state", "registrations", w.Domain, string(region)+".json")
		data, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		var rec struct {
			Answer  json.RawMessage `json:"answer"`
			Failure map[string]any  `json:"failure"`
		}
		if err := json.Unmarshal(data, &rec); err != nil {
			w.t.Fatal(err)
		}
		rec.Failure["at"], rec.Failure["next"] = time.Now().Add(-by), time.Now().Add(23*time.Hour)
		if data, err = json.Marshal(rec); err != nil {
			w.t.Fatal(err)
		}
		w.replace(path, data)
	}
}
