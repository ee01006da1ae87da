package cli_test

import (
	"net/http"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// TestEveryState brings about every state of a registration and compares log,
// status and metrics.
func TestEveryState(t *testing.T) {
	t.Parallel()
	ways := map[registrar.State]struct {
		way func(*world)
		log []string // fields of the line, as name and value
	}{
		registrar.Pending: {
			way: func(w *world) { w.writeCredentials(); w.silenceCA() },
			log: []string{"level", "info", "reason", registrar.ReasonNoCertificate},
		},
		registrar.WaitingForCredentials: {
			way: func(*world) {},
			log: []string{"level", "info", "reason", registrar.ReasonNoCredentials},
		},
		registrar.Unreachable: {
			way: func(w *world) { w.writeCredentials(); w.DNS.Set(w.Domain) },
			log: []string{"level", "warn", "reason", "no_address"},
		},
		registrar.Registered: {
			way: func(w *world) { w.writeCredentials() },
			log: []string{"level", "info"},
		},
		registrar.Mismatch: {
			way: func(w *world) {
				w.writeCredentials()
				w.writeKey()
				_, other := newKey(w.t)
				w.enroll(other, fleetapi.NA, fleetapi.EU)
			},
			log: []string{"level", "error", "reason", registrar.ReasonOtherKey},
		},
		registrar.Refused: {
			way: func(w *world) {
				w.writeCredentials()
				w.inject(fleetapi.DomainTaken, fleetsim.Limit{})
			},
			log: []string{"level", "error", "reason", "domain_taken"},
		},
		registrar.Unavailable: {
			way: func(w *world) {
				w.writeCredentials()
				w.writeKey()
				w.inject(fleetapi.InternalError, fleetsim.Limit{})
			},
			log: []string{"level", "warn", "reason", "internal_error"},
		},
	}
	for _, state := range registrar.States() {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			how, ok := ways[state]
			if !ok {
				t.Fatal("nobody said how it comes about")
			}
			var w *world
			if state == registrar.Pending {
				w = newWorld(t) // with a CA, to wait for
			} else {
				w = newWorld(t, withFiles)
			}
			how.way(w)
			r := w.run()
			for _, region := range []string{"na", "eu"} {
				w.awaitLine(r.Log, "registration", append(how.log, "region", region, "state", string(state))...)
			}
			w.await("a key", func(s admin.Status) bool { return s.Ready }) // which is made beside the regions' own work
			site := w.awaitStates(state, state).Sites[0]
			w.wantOperator(operatorView{
				status: 200, certificate: state != registrar.Pending, state: state, fingerprint: site.Key.Fingerprint,
			})
			for _, region := range site.Registrations {
				if (region.Seen == "") != (state == registrar.Registered) {
					t.Errorf("the status says of %s in %s: %q", state, region.Region, region.Seen)
				}
			}
		})
	}
}

// silenceCA has the CA answer nothing.
func (w *world) silenceCA() {
	w.CA.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	})
}
