package cli_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/testhost"
	"wellkey/internal/testworld"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// patience is how long a test waits for what must come. It is far more than
// anything needs, since a machine may be busy, and only a test that fails uses it.
const patience = 3 * time.Minute

// A world is a testworld for one test, with the canary watching over it.
type world struct {
	*testworld.World
	t      *testing.T
	ctx    context.Context
	dir    string
	canary canary
}

// worlds counts what was given to worlds, so that each has a domain of its own, since
// certmagic keeps challenges by domain in a global. Each has a loopback address of its own, too.
var worlds atomic.Uint32

func newHost() (host string, n uint32) {
	n = worlds.Add(1)
	return testhost.New(), n
}

// withFiles has the certificate come from files, which is quicker than ACME.
func withFiles(c *testworld.Config) { c.Files = true }

// newWorld starts a world and closes it after the test.
func newWorld(t *testing.T, options ...func(*testworld.Config)) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	t.Cleanup(cancel)
	dir := t.TempDir()
	host, n := newHost()
	config := testworld.Config{Domain: fmt.Sprintf("keys%d.example.com", n), Dir: dir, Host: host}
	for _, o := range options {
		o(&config)
	}
	inner, err := testworld.Start(config)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{World: inner, t: t, ctx: ctx, dir: dir}
	t.Cleanup(func() {
		w.checkCanary()
		if err := inner.Close(); err != nil {
			t.Errorf("closing the world: %v", err)
		}
	})
	return w
}

// goOn begins the time of a long test anew.
func (w *world) goOn() {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	w.t.Cleanup(cancel)
	w.ctx = ctx
}

// newRegistrable is newWorld with credentials in place.
func newRegistrable(t *testing.T, options ...func(*testworld.Config)) *world {
	t.Helper()
	w := newWorld(t, options...)
	w.writeCredentials()
	return w
}

// run starts wellkey in this process, logging everything. It stops it after the
// test, if the test did not, and wants a clean end.
func (w *world) run(more ...string) *testworld.Run {
	w.t.Helper()
	r := w.Serve(append([]string{"LOG_LEVEL=debug"}, more...)...)
	w.canary.watch(r.Log)
	w.t.Cleanup(func() {
		select {
		case <-r.Exited():
		default:
			w.look()
			if code := r.Stop(); code != 0 {
				w.t.Errorf("exit code is %d, want 0", code)
			}
		}
		if w.t.Failed() {
			w.t.Logf("the log:\n%s", tail(r.Log.String()))
		}
	})
	return r
}

// exec starts wellkey in a process of its own, and kills it after the test.
func (w *world) exec(more ...string) *testworld.Process {
	w.t.Helper()
	environ := []string{actAsWellkey + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, coverage()}
	p, err := w.Exec(os.Args[0], environ, append([]string{"LOG_LEVEL=debug"}, more...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.canary.watch(p.Log)
	w.t.Cleanup(func() {
		w.look()
		_ = p.Signal(os.Kill) // it may have ended
		p.Wait()
		if w.t.Failed() {
			w.t.Logf("the log:\n%s", tail(p.Log.String()))
		}
	})
	return p
}

func tail(log string) string {
	lines := strings.Split(log, "\n")
	return strings.Join(lines[max(0, len(lines)-80):], "\n")
}

func (w *world) writeCredentials() {
	w.t.Helper()
	if err := w.WriteCredentials(); err != nil {
		w.t.Fatal(err)
	}
}

// keyFile is where wellkey has its key.
func (w *world) keyFile() string { return filepath.Join(w.DataDir, "key.pem") }

// writeKey puts a new private key into the key file, over what is there, in one
// step, as people's tools and Kubernetes do.
func (w *world) writeKey() keystore.Key {
	w.t.Helper()
	text, key := newKey(w.t)
	w.replace(w.keyFile(), text)
	return key
}

// replace writes a file in one step.
func (w *world) replace(path string, text []byte) {
	w.t.Helper()
	next := path + ".next"
	for _, err := range []error{os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(next, text, 0o600), os.Rename(next, path)} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// newKey returns a new private key as a file, and its public half.
func newKey(t *testing.T) ([]byte, keystore.Key) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	parsed, err := keystore.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return text, parsed.Key
}

// enroll puts a registration of key into the regions, as one of before.
func (w *world) enroll(key keystore.Key, regions ...fleetapi.Region) {
	for _, r := range regions {
		w.Tesla.SetAccount(r, fleetapi.Account{ClientID: testworld.ClientID, Domain: w.Domain, PublicKey: key.Hex()})
	}
}

// await returns the status for which match holds.
func (w *world) await(what string, match func(admin.Status) bool) admin.Status {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	status, err := w.AwaitStatus(ctx, match)
	if err != nil {
		w.t.Fatalf("waiting for %s: %v; the last status: %+v", what, err, status)
	}
	return status
}

// awaitStates waits until the registrations in na and eu have these states.
func (w *world) awaitStates(na, eu registrar.State) admin.Status {
	w.t.Helper()
	return w.await(fmt.Sprintf("%s and %s", na, eu), func(s admin.Status) bool {
		r := s.Sites[0].Registrations
		return r[0].State == na && r[1].State == eu
	})
}

func (w *world) awaitRegistered() admin.Status {
	w.t.Helper()
	return w.awaitStates(registrar.Registered, registrar.Registered)
}

// awaitLine waits for a line of the log with this message and these fields,
// given as name and value.
func (w *world) awaitLine(log *testworld.Log, message string, fields ...string) testworld.Entry {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	entry, err := log.Await(ctx, line(message, fields...))
	if err != nil {
		w.t.Fatalf("waiting for the line %q %q: %v", message, fields, err)
	}
	return entry
}

func line(message string, fields ...string) func(testworld.Entry) bool {
	return func(e testworld.Entry) bool {
		for i := 0; i < len(fields); i += 2 {
			if e.Text(fields[i]) != fields[i+1] {
				return false
			}
		}
		return e.Message == message
	}
}

// get asks the admin listener.
func (w *world) get(path string) testworld.Visit {
	w.t.Helper()
	visit, err := w.Admin(w.ctx, path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.canary.saw("GET "+path, visit.Body)
	return visit
}

// fetch gets the key from outside.
func (w *world) fetch() testworld.Visit {
	w.t.Helper()
	visit, err := w.Fetch(w.ctx)
	if err != nil {
		w.t.Fatalf("fetching the key: %v", err)
	}
	return visit
}

// wantServed fetches the key from outside and compares.
func (w *world) wantServed(key keystore.Key) {
	w.t.Helper()
	if visit := w.fetch(); visit.Status != 200 || string(visit.Body) != string(key.PEM()) {
		w.t.Errorf("served %d %q, want the key %s", visit.Status, visit.Body, key.Fingerprint())
	}
}

// wantPosts compares the registrations posted to Tesla so far, in all regions.
func (w *world) wantPosts(want int) {
	w.t.Helper()
	if got := w.Tesla.Count(fleetapi.OpRegister); got != want {
		w.t.Errorf("%d registrations were posted, want %d", got, want)
	}
}

// wantRegistered wants key on record in the regions; the zero Key is none.
func (w *world) wantRegistered(key keystore.Key, regions ...fleetapi.Region) {
	w.t.Helper()
	for _, r := range regions {
		if got := w.Registered(r); got != key.Hex() {
			w.t.Errorf("Tesla has %q on record in %s, want %q", got, r, key.Hex())
		}
	}
}
