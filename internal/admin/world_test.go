package admin_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"wellkey/internal/admin"
	"wellkey/internal/finding"
	"wellkey/internal/listen"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server"
	"wellkey/server/certs"
	"wellkey/server/passthrough"
	"wellkey/server/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is when the tests take place.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// Two keys, by their points: fixed, so that fingerprints are.
const (
	hostedPoint = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
	otherPoint  = "047cf27b188d034f7e8a52380304b51ac3c08969e277f21b35a60b48fc4766997807775510db8ed040293d9ac69f7430dbba7dade63ce982299e04b79d227873d1"
)

func keyOf(t testing.TB, point string) keystore.Key {
	t.Helper()
	k, err := keystore.ParsePoint(point)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A world is what the admin listener looks at; tests change it as they like.
type world struct {
	sites     []registrar.SiteSnapshot
	keys      map[string]keystore.Status
	certs     map[string]certs.Status
	listeners []listen.State
	fetches   []server.Fetch
	reloads   []admin.Reload
	bad       map[string]error
	passed    []passthrough.Status
	app       *upstream.Status
	stopping  bool
}

func (w *world) Snapshot() registrar.Snapshot {
	return registrar.Snapshot{Sites: slices.Clone(w.sites)}
}
func (w *world) Listeners() []listen.State  { return w.listeners }
func (w *world) KeyFetches() []server.Fetch { return w.fetches }

func (w *world) Passthrough() []passthrough.Status { return w.passed }
func (w *world) Upstream() *upstream.Status        { return w.app }

// newWorld returns a world in which all is well with the domains.
func newWorld(t testing.TB, domains ...string) *world {
	t.Helper()
	w := &world{
		keys:  map[string]keystore.Status{},
		certs: map[string]certs.Status{},
		listeners: []listen.State{
			{Name: "http", Addr: "[::]:80", Bound: true},
			{Name: "https", Addr: "[::]:443", Bound: true},
		},
		fetches: []server.Fetch{
			{Client: "tesla_app", Count: 3, Last: noon.Add(-26 * time.Minute)},
			{Client: "wellkey", Count: 41, Last: noon.Add(-5 * time.Minute)},
			{Client: "other"},
		},
	}
	w.reloads = []admin.Reload{
		{Part: admin.PartKey, Good: true, At: noon.Add(-50 * time.Hour)},
		{Part: admin.PartCredentials, Good: false, At: noon.Add(-49 * time.Hour)},
	}
	key := keyOf(t, hostedPoint)
	for _, domain := range domains {
		w.sites = append(w.sites, registrar.SiteSnapshot{
			Domain: domain, Key: key, Look: reachable(domain), NextLook: noon.Add(19 * time.Hour), LastGood: noon.Add(-5 * time.Hour),
			Regions: []registrar.RegionSnapshot{registered(fleetapi.NA, key), registered(fleetapi.EU, key)},
		})
		w.keys[domain] = keystore.Status{Origin: keystore.OriginGenerated, Path: "/data/key.pem", Private: true, LoadedAt: noon.Add(-50 * time.Hour)}
		w.certs[domain] = certs.Status{
			Source: "acme", Have: true, NotBefore: noon.Add(-20 * 24 * time.Hour), NotAfter: noon.Add(70 * 24 * time.Hour), Renewal: noon.Add(40 * 24 * time.Hour),
			Issuer: "E7", Serial: "4f1a2b", Directory: "https://acme-v02.api.letsencrypt.org/directory", Attempts: 1, NextAttempt: noon.Add(6 * time.Hour),
			ValidatedAt: noon.Add(-20 * 24 * time.Hour),
		}
	}
	return w
}

func registered(region fleetapi.Region, key keystore.Key) registrar.RegionSnapshot {
	return registrar.RegionSnapshot{
		Region: region, State: registrar.Registered, Since: noon.Add(-49 * time.Hour), Next: noon.Add(23 * time.Hour),
		Registered: key, AnsweredAt: noon.Add(-time.Hour), RegisteredAt: noon.Add(-49 * time.Hour),
	}
}

// reachable is a look that found all as it must be, but for what it could not tell.
func reachable(domain string) *reach.Report {
	ip := netip.MustParseAddr("203.0.113.5")
	r := &reach.Report{
		Domain: domain, At: noon.Add(-5 * time.Hour), Duration: 412 * time.Millisecond, Verdict: reach.Reachable,
		Addresses: []reach.Address{{IP: ip, Family: "ipv4", OK: true, Self: true}},
	}
	for i, id := range reach.Checks() {
		f := finding.Finding{ID: id, Status: finding.OK, Seen: "It is as it must be."}
		if i >= 6 { // those of an address
			f.On = ip.String()
		}
		r.Findings = append(r.Findings, f)
	}
	return r
}

// unreachable is a look that failed at one check.
func unreachable(domain, id, reason string, f finding.Finding) *reach.Report {
	r := reachable(domain)
	r.Verdict, r.Reason = reach.Unreachable, reason
	r.Addresses[0].OK, r.Addresses[0].Reason = false, reason
	for i := range r.Findings {
		if r.Findings[i].ID == id {
			f.ID, f.On = id, r.Findings[i].On
			r.Findings[i] = f
		}
	}
	return r
}

// admin returns the admin listener on this world, which is not bound.
func (w *world) admin(t testing.TB) *admin.Admin {
	t.Helper()
	return w.adminWith(t, prometheus.NewRegistry())
}

func (w *world) adminWith(t testing.TB, registry *prometheus.Registry) *admin.Admin {
	t.Helper()
	c := admin.Config{
		Addr: "127.0.0.1:0", Version: "1.2.3", Registry: registry,
		Registrar: w, Server: w, Stopping: func() bool { return w.stopping },
		Reloads:  func() []admin.Reload { return w.reloads },
		BadSites: func() map[string]error { return w.bad },
	}
	c.Site = func(domain string) (admin.Site, bool) {
		return admin.Site{Key: w.keys[domain], Certificate: w.certs[domain]}, true
	}
	a, err := admin.NewAt(c, func() time.Time { return noon })
	if err != nil {
		t.Fatal(err)
	}
	return a
}
