package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testsites"
	"wellkey/internal/testworld"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// coldRun is what was measured of sites that began with nothing.
type coldRun struct {
	sites                    int
	certificates, registered phase
	decided                  time.Duration // until wellkey says of all that they are registered
	requests                 int64         // to Tesla
}

// A phase is when a kind of work was done first and last.
type phase struct {
	mu          sync.Mutex
	done        int
	first, last time.Time
}

func (p *phase) note() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
	if p.done++; p.done == 1 {
		p.first = p.last
	}
}

func (p *phase) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// took is the time from the first to the last.
func (p *phase) took() time.Duration { return p.last.Sub(p.first) }

func (p *phase) perSecond() float64 {
	if p.took() <= 0 {
		return 0
	}
	return float64(p.done-1) / p.took().Seconds()
}

// coldPatience is how long a site may take that begins with nothing: certmagic asks
// a CA for no more than ten orders in ten seconds, and wellkey makes ten requests to
// Tesla in a second, of which a site needs eight.
const coldPatience = 3 * time.Second

// cold measures wellkey with sites that have neither key nor certificate, but
// credentials: until all are registered in both regions.
func cold(ctx context.Context, o options, dir string, t *tables, say func(string, ...any)) (err error) {
	sitesDir := filepath.Join(dir, "sites")
	if err := os.MkdirAll(sitesDir, 0o700); err != nil {
		return err
	}
	c := coldRun{sites: o.cold}
	var requests atomic.Int64
	w, err := testworld.Start(testworld.Config{Domain: worldDomain, Dir: dir, OnRequest: func(r fleetsim.Request) {
		requests.Add(1)
		if r.Operation == fleetapi.OpRegister && r.Status == http.StatusOK {
			c.registered.note()
		}
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	w.CA.Intercept(func(answer http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, testca.CertificatePath) {
			return false
		}
		w.CA.Pass(answer, r)
		c.certificates.note()
		return true
	})
	for i := range o.cold {
		domain := testsites.Domain(i)
		w.AddDomain(domain)
		text := fmt.Sprintf("client_id: %q\nclient_secret: %q\n", domain, testworld.SecretOf(domain))
		if err := os.WriteFile(filepath.Join(sitesDir, domain+".yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	p, err := start(w, o.binary, sitesDir)
	if err != nil {
		return err
	}
	defer func() {
		_, stopErr := p.stop(o.patience)
		err = errors.Join(err, stopErr)
	}()
	patience := o.patience + time.Duration(o.cold)*coldPatience
	said := time.Now()
	if err := until(ctx, patience, "the last registration", func() bool {
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			say("cold: %d certificates, %d registrations after %v", c.certificates.count(), c.registered.count(), time.Since(p.began).Round(time.Second))
		}
		return c.registered.count() >= 2*o.cold
	}); err != nil {
		return fmt.Errorf("%w\n%s", err, p.log.tail())
	}
	if err := until(ctx, o.patience, "the word of wellkey", func() bool { return allRegistered(ctx, p, o) }); err != nil {
		return err
	}
	c.decided, c.requests = time.Since(p.began), requests.Load()
	for i := range o.cold {
		for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
			if _, ok := w.Tesla.Account(region, testsites.Domain(i)); !ok {
				return fmt.Errorf("%s is not registered in %s", testsites.Domain(i), region)
			}
		}
	}
	t.cold(&c)
	return nil
}

// allRegistered reports whether wellkey says that all sites are registered.
func allRegistered(ctx context.Context, p *process, o options) bool {
	body, err := p.get(ctx, "/status", o.patience)
	var status admin.Status
	if err != nil || json.Unmarshal(body, &status) != nil || len(status.Sites) != o.cold {
		return false
	}
	for _, site := range status.Sites {
		for _, r := range site.Registrations {
			if r.State != registrar.Registered {
				return false
			}
		}
	}
	return true
}
