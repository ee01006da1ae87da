package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"wellkey/internal/admin"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// replicasOfSites are replicas that host the same sites, from one directory.
type replicasOfSites struct {
	*replicas
	sites *several
	keys  map[string]keystore.Key
}

func newReplicasOfSites(t *testing.T, n int, common ...string) *replicasOfSites {
	t.Helper()
	r := newReplicas(t, n, common...)
	s := &replicasOfSites{replicas: r, sites: newSeveralOf(t, r.world), keys: map[string]keystore.Key{}}
	r.common = append(r.common, "DOMAIN", "KEY_FILE", "CREDENTIALS_FILE", "SITES_DIR="+s.sites.dir)
	return s
}

// add writes the file of one more site, with a key of its own that all replicas
// read, and a name that leads to one of them.
func (s *replicasOfSites) add(domain string, at *world) {
	s.t.Helper()
	at.AddDomain(domain)
	text, key := newKey(s.t)
	file := filepath.Join(filepath.Dir(s.sites.dir), domain+".pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.keys[domain] = key
	s.sites.write(domain, credentials(domain)+"key_file: "+file+"\n")
}

// wantAll waits until every one of places shows every site registered, and wants
// each to serve each key, and Tesla to have it.
func (s *replicasOfSites) wantAll(places ...*world) {
	s.t.Helper()
	for _, place := range places {
		place.goOn()
		place.await(fmt.Sprintf("%d sites registered", len(s.keys)), func(status admin.Status) bool {
			for domain := range s.keys {
				view := site(status, domain)
				if view == nil || !view.Certificate.Have || view.Registrations[0].State != registrar.Registered || view.Registrations[1].State != registrar.Registered {
					return false
				}
			}
			return true
		})
		for domain, key := range s.keys {
			if visit, err := place.FetchOf(place.ctx, domain); err != nil || string(visit.Body) != string(key.PEM()) {
				s.t.Errorf("%s at %s: %q, %v", domain, place.Host(), visit.Body, err)
			}
		}
	}
	for domain, key := range s.keys {
		for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
			if account, ok := s.Tesla.Account(region, domain); !ok || account.PublicKey != key.Hex() {
				s.t.Errorf("%s in %s: Tesla has %+v", domain, region, account)
			}
		}
	}
}

// wantCost wants one certificate for each site, and one registration a region.
func (s *replicasOfSites) wantCost() {
	s.t.Helper()
	if got := s.CA.Orders(); got != len(s.keys) {
		s.t.Errorf("%d certificates were ordered, want %d", got, len(s.keys))
	}
	if got := s.Tesla.Count(fleetapi.OpRegister); got != 2*len(s.keys) {
		s.t.Errorf("%d registrations were posted, want %d", got, 2*len(s.keys))
	}
}

// TestReplicasOfSeveralSites: three replicas share the work on several sites, take
// up one that is added, also while one of them is dead, and ask for nothing twice.
func TestReplicasOfSeveralSites(t *testing.T) {
	t.Parallel()
	for name, store := range sharedStores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newReplicasOfSites(t, 3, store(t)...)
			for n := range 6 {
				s.add(fmt.Sprintf("s%d.%s.replicas.example.com", n, name), s.places[n%3])
			}
			processes := s.execAll()
			s.wantAll(s.places...)
			s.wantCost()

			s.kill(processes[1])
			late := fmt.Sprintf("late.%s.replicas.example.com", name)
			s.add(late, s.places[0])
			s.wantAll(s.places[0], s.places[2])
			s.wantCost()

			s.places[1].exec(s.common...)
			s.wantAll(s.places...)
			s.wantCost()
		})
	}
}
