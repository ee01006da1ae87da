package cli_test

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// TestKilledAndRestarted: after a kill and a restart the key is served again
// from what is on the disk, and nobody is asked for anything.
func TestKilledAndRestarted(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	first := w.exec()
	registered := w.awaitRegistered()
	served := w.fetch()
	orders, requests := w.CA.Orders(), len(w.Tesla.Requests())
	w.kill(first)

	began := time.Now()
	second := w.exec()
	visit, err := w.AwaitFetch(w.ctx)
	if err != nil {
		t.Fatalf("fetching the key after the restart: %v", err)
	}
	t.Logf("the first 200 came %v after the start of the process (race detector and a busy machine included)", time.Since(began).Round(time.Millisecond))
	if string(visit.Body) != string(served.Body) || !visit.TLS.PeerCertificates[0].Equal(served.TLS.PeerCertificates[0]) {
		t.Error("another key or certificate is served")
	}
	status := w.await("registered, looked at, and no order due", func(s admin.Status) bool {
		site := s.Sites[0]
		return site.Registrations[0].State == registrar.Registered && site.Registrations[1].State == registrar.Registered &&
			site.Reachability != nil && !site.Certificate.NextAttempt.IsZero()
	})
	if status.Sites[0].Key.Origin != string(keystore.OriginFile) || status.Sites[0].Key.Fingerprint != registered.Sites[0].Key.Fingerprint {
		t.Errorf("the key is %+v", status.Sites[0].Key)
	}
	if err := second.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := second.Wait(); code != 0 {
		t.Errorf("exit code is %d after SIGTERM, want 0", code)
	}
	if now := w.CA.Orders(); now != orders || orders != 1 {
		t.Errorf("%d orders before and %d after the restart, want 1 and 1", orders, now)
	}
	if now := len(w.Tesla.Requests()); now != requests {
		t.Errorf("%d requests to Tesla before and %d after the restart, want none more", requests, now)
	}
}

// kill ends a process as the kernel does when memory is short.
func (w *world) kill(p interface {
	Signal(os.Signal) error
	Wait() int
}) {
	w.t.Helper()
	if err := p.Signal(os.Kill); err != nil {
		w.t.Fatal(err)
	}
	if code := p.Wait(); code != -1 {
		w.t.Fatalf("exit code is %d, want that a signal ended it", code)
	}
}

// TestKilledWhileRegistering: whether a POST that was under way arrived, nobody
// knows. Another one for the same key does no harm.
func TestKilledWhileRegistering(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t, withFiles)
	w.Tesla.Break(fleetsim.Hang, fleetsim.Limit{Operations: []fleetapi.Operation{fleetapi.OpRegister}})
	first := w.exec()
	w.await("the POSTs under way", func(admin.Status) bool { return w.Tesla.Count(fleetapi.OpRegister) == 2 })
	key, err := os.ReadFile(w.keyFile())
	if err != nil {
		t.Fatal(err)
	}
	w.kill(first)
	w.Tesla.Clear()
	w.enroll(mustParse(t, key), fleetapi.EU) // there it had arrived

	w.exec()
	w.awaitRegistered()
	w.wantRegistered(mustParse(t, key), fleetapi.NA, fleetapi.EU)
	w.wantServed(mustParse(t, key))
	if got := w.Tesla.Count(fleetapi.OpRegister, fleetapi.NA); got != 2 {
		t.Errorf("%d POSTs in na, want 2: the one that was cut off, and one more", got)
	}
}

// TestKilledWhileOrdering: the lock that the dead process left behind does not
// keep the next one from its certificate for long.
func TestKilledWhileOrdering(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	arrived := make(chan struct{}, 10)
	w.CA.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, testca.FinalizePath) {
			arrived <- struct{}{}
			<-r.Context().Done()
			return true
		}
		return false
	})
	first := w.exec()
	select {
	case <-arrived:
	case <-w.ctx.Done():
		t.Fatal("no certificate was asked for")
	}
	w.kill(first)
	w.CA.Intercept(nil)

	began := time.Now()
	w.exec()
	w.awaitRegistered()
	t.Logf("registered %v after the restart", time.Since(began).Round(time.Millisecond))
	if err := w.Check(w.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		t.Error(err)
	}
}

func mustParse(t *testing.T, text []byte) keystore.Key {
	t.Helper()
	parsed, err := keystore.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Key
}
