package registrar_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"wellkey/keystore"
	. "wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// another returns a site beside that of the world, with a Tesla of its own.
func (w *world) another(domain string) (Site, *tesla) {
	site, tesla := w.site(), newTesla()
	site.Domain = domain
	site.Keys = &keys{key: ours}
	site.Application = func() Application { return Application{ClientID: domain, Digest: domain, API: tesla} }
	return site, tesla
}

func TestSitesComeAndGo(t *testing.T) {
	inWorld("a site that comes later is registered", t, func(w *world) {
		w.start()
		site, _ := w.another("later.example.com")
		if err := w.registrar.Add(site); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sites := w.registrar.Snapshot().Sites
		if len(sites) != 2 || sites[1].Domain != "later.example.com" || sites[1].Regions[0].State != Registered {
			t.Errorf("sites are %+v, want the second one registered", sites)
		}
		if err := w.registrar.Add(site); err == nil {
			t.Error("a site was taken in twice")
		}
		w.stop()
	})
	inWorld("a site that goes asks no more", t, func(w *world) {
		w.start()
		w.want(Registered)
		if !w.registrar.Remove("example.com") || w.registrar.Remove("example.com") {
			t.Error("Remove does not say whether there was such a site")
		}
		asks := w.asks()
		w.registrar.Wake("example.com")
		time.Sleep(72 * time.Hour)
		if w.asks() != asks || len(w.registrar.Snapshot().Sites) != 0 {
			t.Error("a site that was removed goes on")
		}
		// It comes back with what was remembered of it.
		if err := w.registrar.Add(w.site()); err != nil {
			t.Fatal(err)
		}
		w.want(Registered)
		w.wantPosts(1, 1)
		w.stop()
	})
	inWorld("a site goes while a request is under way", t, func(w *world) {
		w.tesla.hold[fleetapi.NA] = make(chan struct{})
		w.start()
		w.registrar.Remove("example.com")
		w.stop()
	})
}

// silent is a Fleet API that does not answer.
type silent struct{}

func (silent) PublicKey(context.Context, fleetapi.Region, string) (string, error) {
	time.Sleep(30 * time.Second)
	return "", refusal(fleetapi.Timeout, fleetapi.OpPublicKey)
}

func (silent) Register(context.Context, fleetapi.Region, string) (fleetapi.Account, error) {
	time.Sleep(30 * time.Second)
	return fleetapi.Account{}, refusal(fleetapi.Timeout, fleetapi.OpRegister)
}

// Sites whose requests fail for ever take their turns with the others.
func TestManyBrokenSitesStarveNobody(t *testing.T) {
	inWorld("a good site after 500 broken ones", t, func(w *world) {
		w.start()
		for i := range 500 {
			site, _ := w.another(fmt.Sprintf("broken%d.example.com", i))
			site.Application = func() Application { return Application{ClientID: site.Domain, Digest: site.Domain, API: silent{}} }
			if err := w.registrar.Add(site); err != nil {
				t.Fatal(err)
			}
		}
		good, tesla := w.another("good.example.com")
		began := time.Now()
		if err := w.registrar.Add(good); err != nil {
			t.Fatal(err)
		}
		for {
			synctest.Wait()
			tesla.mu.Lock()
			registered := tesla.keys[fleetapi.NA] != keystore.Key{} && tesla.keys[fleetapi.EU] != keystore.Key{}
			tesla.mu.Unlock()
			if registered {
				break
			}
			if time.Since(began) > 15*time.Minute { // 1,000 requests of 30 s by 64 workers are 8 minutes
				t.Fatal("the good site is not registered after a quarter of an hour")
			}
			time.Sleep(time.Second)
		}
		w.stop()
	})
}
