package prometheus_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"wellkey/deploy/deploytest"
	"wellkey/internal/admin"
	"wellkey/internal/testleak"
	"wellkey/internal/testworld"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

func TestMain(m *testing.M) { testleak.Main(m.Run) }

// patience is how long a test waits for what must come.
const patience = deploytest.Patience

// A world is one wellkey with what it needs around it.
type world struct {
	*testworld.World
	t   *testing.T
	dir string
	run *testworld.Run
}

// worlds counts them, since each has a domain of its own.
var worlds atomic.Uint32

func newWorld(t *testing.T, options ...func(*testworld.Config)) *world {
	t.Helper()
	n := worlds.Add(1)
	w := &world{t: t, dir: t.TempDir()}
	c := testworld.Config{Domain: fmt.Sprintf("prom%d.example.com", n), Dir: w.dir}
	for _, o := range options {
		o(&c)
	}
	w.World = deploytest.Start(t, c)
	if err := w.WriteCredentials(); err != nil {
		t.Fatal(err)
	}
	return w
}

// withFiles has the certificate come from files, which is quicker than ACME.
func withFiles(c *testworld.Config) { c.Files = true }

// serve starts wellkey, until the end of the test.
func (w *world) serve(more ...string) *world {
	w.t.Helper()
	w.run = deploytest.Serve(w.t, w.World, more...)
	return w
}

// await waits until the first region is in this state.
func (w *world) await(state registrar.State) *world {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	status, err := w.AwaitStatus(ctx, func(s admin.Status) bool {
		for _, r := range s.Sites[0].Registrations {
			if r.State != state {
				return false
			}
		}
		return true
	})
	if err != nil {
		w.t.Fatalf("waiting for %s: %v; the last status: %+v", state, err, status)
	}
	return w
}

// scrape returns what Prometheus gets.
func (w *world) scrape() []byte {
	w.t.Helper()
	visit, err := w.Admin(w.t.Context(), "/metrics")
	if err != nil || visit.Status != http.StatusOK {
		w.t.Fatalf("scraping: status %d, %v", visit.Status, err)
	}
	return visit.Body
}

// writeKey puts a new private key into the key file, in one step.
func (w *world) writeKey() keystore.Key {
	w.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		w.t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	path := filepath.Join(w.DataDir, "key.pem")
	for _, err := range []error{os.MkdirAll(w.DataDir, 0o700), os.WriteFile(path+".next", text, 0o600), os.Rename(path+".next", path)} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	parsed, err := keystore.Parse(text)
	if err != nil {
		w.t.Fatal(err)
	}
	return parsed.Key
}

// enroll puts a registration of a key of which nobody here has the private half.
func (w *world) enroll() {
	w.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
		w.Tesla.SetAccount(r, fleetapi.Account{ClientID: testworld.ClientID, Domain: w.Domain, PublicKey: fmt.Sprintf("%x", point)})
	}
}
