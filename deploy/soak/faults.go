package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"wellkey/internal/fleetsim"
	"wellkey/internal/pause"
	"wellkey/internal/testca"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// oneIn is the share of faults: 5 %.
const oneIn = 20

// teslaFaults are the ways in which Tesla fails; 502 comes besides.
var teslaFaults = []fleetsim.Kind{fleetsim.Reset, fleetsim.Drip, fleetsim.Cut, fleetsim.HTML, fleetsim.Garbage}

// faults make one answer in twenty of Tesla and the CA a fault, and let the names
// of sites not resolve for one second in twenty.
type faults struct {
	active              atomic.Bool
	tesla, ca, nameless atomic.Int64 // how many there were; nameless = seconds in which no name resolved
	asked               atomic.Int64 // requests to Tesla and the CA meanwhile, good and bad
	heldUp              atomic.Int64 // new sites that waited for the CA
	mu                  sync.Mutex   // held while the names of the sites fail
}

func newFaults() *faults { return new(faults) }

func (f *faults) on() { f.active.Store(true) }

// off ends all faults; none is left when it returns.
func (f *faults) off(w *testworld.World) {
	f.active.Store(false)
	w.Tesla.Clear()
	f.mu.Lock() // until the one that is under way is over
	defer f.mu.Unlock()
}

// due reports whether the next answer is a fault, and counts it.
func (f *faults) due(into *atomic.Int64) bool {
	if !f.active.Load() {
		return false
	}
	f.asked.Add(1)
	if rand.IntN(oneIn) > 0 {
		return false
	}
	into.Add(1)
	return true
}

// afterTesla is called after each request to Tesla, and lets the next one fail if
// one is due.
func (f *faults) afterTesla(tesla *fleetsim.Sim) {
	if !f.due(&f.tesla) {
		return
	}
	once := fleetsim.Limit{Times: 1}
	if n := rand.IntN(len(teslaFaults) + 1); n < len(teslaFaults) {
		tesla.Break(teslaFaults[n], once)
		return
	}
	tesla.Answer(fleetapi.Example{Status: http.StatusBadGateway, Body: "<html>Bad Gateway</html>"}, once)
}

// beforeCA sees each request to the CA before it does, and fails some.
func (f *faults) beforeCA(ca *testca.CA) {
	ca.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !f.due(&f.ca) {
			return false
		}
		problem := func(status int, kind string) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": "a fault of the soak", "status": status}) // a client that went away
		}
		switch rand.IntN(3) {
		case 0:
			problem(http.StatusServiceUnavailable, "serverInternal")
		case 1:
			problem(http.StatusBadRequest, "badNonce")
		default:
			panic(http.ErrAbortHandler) // closes the connection
		}
		return true
	})
}

// names lets the names of the sites not resolve for a second in twenty, until ctx
// is done.
func (f *faults) names(ctx context.Context, w *testworld.World, sites []*site) {
	for pause.For(ctx, (oneIn-1)*time.Second) == nil {
		f.mu.Lock()
		for _, of := range sites {
			w.DNS.Rcode(of.domain, dns.RcodeServerFailure)
		}
		f.nameless.Add(1)
		_ = pause.For(ctx, time.Second) // it ends at once when ctx does
		for _, of := range sites {
			w.DNS.Set(of.domain, "A "+w.Host())
		}
		f.mu.Unlock()
	}
}
