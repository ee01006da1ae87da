package doctor_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/doctor"
	"wellkey/internal/finding"
	"wellkey/internal/fleetsim"
	"wellkey/internal/secret"
	"wellkey/internal/testca"
	"wellkey/internal/testdns"
	"wellkey/internal/testhost"
	"wellkey/internal/testnet"
	"wellkey/keystore"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	domain   = "key.example.test"
	clientID = "7a1c2d3e-4f50-4a61-8b72-93c4d5e6f708"
	password = "ta-secret.%test+only^nothing@real"
)

// A world is the internet of one test: two resolvers, an authority, and hosts on
// loopback addresses that all use the same port.
type world struct {
	t           *testing.T
	dns, second *testdns.Server
	signer      *testca.Signer
	private     *ecdsa.PrivateKey
	key         keystore.Key
	host, host2 string // addresses of this world alone
	port, plain int
	probe       reach.Config
	config      doctor.Config
	tesla       *fleetsim.Sim // nil before withTesla
}

// newWorld returns a world in which nobody listens and no name exists. The local
// key is the one that the good host serves.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dns: testnet.DNS(t), second: testnet.DNS(t), signer: testnet.Signer(t), host: testhost.New(), host2: testhost.New()}
	w.port, w.plain = testnet.Ports(t, w.host) // which nobody else uses
	w.private, w.key = testnet.Key(t)
	w.probe = reach.Config{
		Resolvers: []string{w.dns.Addr(), w.second.Addr()}, Roots: w.signer.Roots(), Port: w.port, HTTPPort: w.plain,
		AllowPrivate: true, CA: "letsencrypt.org", Timeout: 20 * time.Second,
	}
	w.config = doctor.Config{Domain: domain, Local: doctor.Local{Path: "/key.pem", Key: w.key}}
	return w
}

// records sets the records of the domain at both resolvers.
func (w *world) records(records ...string) {
	w.dns.Set(domain, records...)
	w.second.Set(domain, records...)
}

// serve serves handler at ip over TLS, and redirects from plain HTTP.
func (w *world) serve(ip string, config *tls.Config, handler http.Handler) {
	w.t.Helper()
	testnet.Serve(w.t, w.listen(ip, w.port), config, handler)
	testnet.Serve(w.t, w.listen(ip, w.plain), nil, http.RedirectHandler("https://"+domain+reach.Path, http.StatusPermanentRedirect))
}

// listen listens on one address of the world.
func (w *world) listen(ip string, port int) net.Listener {
	w.t.Helper()
	return testnet.Listen(w.t, net.JoinHostPort(ip, strconv.Itoa(port)))
}

// cert returns a TLS configuration with a leaf for names; none means the domain.
func (w *world) cert(options testca.LeafOptions, names ...string) *tls.Config {
	w.t.Helper()
	if len(names) == 0 {
		names = []string{domain}
	}
	return testnet.Certificate(w.t, w.signer, options, names...)
}

// file answers with body at the path of the key.
func file(body []byte) http.Handler { return testnet.File(reach.Path, body) }

// good serves the key as it must be.
func (w *world) good(ip string) { w.serve(ip, w.cert(testca.LeafOptions{}), file(w.key.PEM())) }

// withTesla starts a Fleet API that has the key on record, and gives the doctor
// an application there.
func (w *world) withTesla() *world {
	w.t.Helper()
	w.tesla = fleetsim.New(fleetsim.Config{Regions: []fleetapi.Region{fleetapi.NA, fleetapi.EU}})
	if err := w.tesla.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.tesla.Close(); err != nil {
			w.t.Error(err)
		}
	})
	w.tesla.AddApp(fleetsim.App{ClientID: clientID, Secret: password, AllowedOrigins: []string{"https://" + domain}})
	w.config.Regions, w.config.Bases = []fleetapi.Region{fleetapi.NA, fleetapi.EU}, w.tesla.BaseURLs()
	w.enroll(w.key, fleetapi.NA, fleetapi.EU)
	w.config.Tesla = w.client(w.tesla.AuthURL(), w.tesla.BaseURLs())
	return w
}

// enroll puts key on record in regions.
func (w *world) enroll(key keystore.Key, regions ...fleetapi.Region) {
	for _, region := range regions {
		w.tesla.SetAccount(region, fleetapi.Account{ClientID: clientID, Domain: domain, PublicKey: key.Hex()})
	}
}

func (w *world) client(auth string, bases map[fleetapi.Region]string) *fleetapi.Client {
	w.t.Helper()
	client, err := fleetapi.New(fleetapi.Config{
		Credentials: fleetapi.Credentials{ClientID: clientID, ClientSecret: secret.New(password)},
		AuthURL:     auth, BaseURLs: bases,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// examine runs the doctor and holds every finding to the rules for its texts.
func (w *world) examine() doctor.Report {
	w.t.Helper()
	prober, err := reach.New(w.probe)
	if err != nil {
		w.t.Fatal(err)
	}
	w.config.Prober = prober
	var told []doctor.Name
	also := w.config.Tell
	w.config.Tell = func(g doctor.Group) {
		told = append(told, g.Name)
		if also != nil {
			also(g)
		}
	}
	report := doctor.Run(context.Background(), w.config)
	order := doctor.Checks()
	for i, g := range report.Groups {
		if i >= len(told) || told[i] != g.Name {
			w.t.Errorf("told %v, want the groups of the report", told)
		}
		last := 0
		for _, f := range g.Findings {
			at := slices.Index(order, f.ID)
			if at < last {
				w.t.Errorf("%s is not in the order of Checks, or not there", f.ID)
			}
			last = at
			w.clean(f)
		}
	}
	return report
}

func (w *world) clean(f finding.Finding) {
	w.t.Helper()
	for _, text := range []string{f.Seen, f.Cause, f.Fix} {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.Contains(text, password) || len(text) > 900 {
			w.t.Errorf("%s: text is not clean: %q", f.ID, text)
		}
	}
	if f.Seen == "" || !strings.HasSuffix(f.Seen, ".") && !strings.Contains(f.Seen, `"`) {
		w.t.Errorf("%s: %q is no sentence", f.ID, f.Seen)
	}
	if f.Status != finding.OK && f.Status != finding.Skipped && (f.Cause == "" || f.Fix == "") {
		w.t.Errorf("%s: no cause or fix: %+v", f.ID, f)
	}
}

// troubles returns what is not well, as "id status" or "id@on status".
func troubles(report doctor.Report) []string {
	var all []string
	for _, g := range report.Groups {
		for _, f := range g.Findings {
			if f.Status == finding.OK || f.Status == finding.Skipped {
				continue
			}
			at := f.ID
			if f.On != "" {
				at += "@" + f.On
			}
			all = append(all, at+" "+string(f.Status))
		}
	}
	return all
}

// expect compares a report with what it must be. The first of want is what the
// verdict must begin with.
func expect(t *testing.T, report doctor.Report, outcome doctor.Outcome, want ...string) {
	t.Helper()
	if got := troubles(report); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("troubles = %q, want %q", got, want)
	}
	if report.Outcome != outcome {
		t.Errorf("outcome = %s, want %s", report.Outcome, outcome)
	}
	switch {
	case len(want) == 0:
		if report.First != nil {
			t.Errorf("first = %+v, want none", report.First)
		}
	case report.First == nil:
		t.Errorf("first = nil, want %s", want[0])
	default:
		id, _, _ := strings.Cut(strings.Fields(want[0])[0], "@")
		if report.First.ID != id || outcome != doctor.Well && !strings.Contains(report.Verdict, report.First.Fix) {
			t.Errorf("first = %+v, verdict %q; want %s", report.First, report.Verdict, want[0])
		}
	}
	if t.Failed() {
		for _, g := range report.Groups {
			for _, f := range g.Findings {
				t.Logf("%s %s: %+v", g.Name, g.On, f)
			}
		}
	}
}

func find(report doctor.Report, id string) finding.Finding {
	for _, g := range report.Groups {
		for _, f := range g.Findings {
			if f.ID == id {
				return f
			}
		}
	}
	return finding.Finding{}
}
