package cli_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"wellkey/internal/admin"
	"wellkey/internal/testca"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
)

// TestFromNothingToRegistered is the main job: a machine with no key, no
// certificate and no credentials; then the certificate, then the credentials,
// and each time what the operator sees.
func TestFromNothingToRegistered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ordered := make(chan struct{}) // the CA takes no order before it is closed
	w.CA.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == testca.NewOrderPath {
			select {
			case <-ordered:
			case <-r.Context().Done():
			}
		}
		return false
	})
	w.run()

	before := w.await("a key", func(s admin.Status) bool { return s.Sites[0].Key.Fingerprint != "" })
	w.awaitStates(registrar.WaitingForCredentials, registrar.WaitingForCredentials)
	w.wantOperator(operatorView{
		status: 200, certificate: false, state: registrar.WaitingForCredentials, fingerprint: before.Sites[0].Key.Fingerprint,
	})

	close(ordered)
	w.await("a look from outside", func(s admin.Status) bool {
		return s.Sites[0].Reachability != nil && s.Sites[0].Reachability.Verdict == reach.Reachable
	})
	if err := w.Check(w.ctx); err != nil {
		t.Errorf("without credentials, from outside: %v", err)
	}
	w.wantOperator(operatorView{
		status: 200, certificate: true, state: registrar.WaitingForCredentials, fingerprint: before.Sites[0].Key.Fingerprint,
	})
	if n := len(w.Tesla.Requests()); n != 0 {
		t.Errorf("Tesla was asked %d times without credentials", n)
	}

	w.writeCredentials()
	w.awaitRegistered()
	if err := w.Check(w.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		t.Errorf("from outside: %v", err)
	}
	w.wantOperator(operatorView{
		status: 200, certificate: true, state: registrar.Registered, fingerprint: before.Sites[0].Key.Fingerprint,
	})
	w.wantPosts(2)
	if w.CA.Orders() != 1 {
		t.Errorf("%d orders at the CA, want 1", w.CA.Orders())
	}
	for _, request := range w.Tesla.Requests() {
		if !strings.HasPrefix(request.UserAgent, "wellkey/") || strings.Contains(request.UserAgent, "://") {
			t.Errorf("the user agent for Tesla is %q", request.UserAgent)
		}
	}
}

// operatorView is what the operator's face must show.
type operatorView struct {
	status      int // of /readyz
	certificate bool
	state       registrar.State // in both regions
	fingerprint string
}

// wantOperator compares /healthz, /readyz, /status and /metrics with one
// another and with want.
func (w *world) wantOperator(want operatorView) {
	w.t.Helper()
	if visit := w.get("/healthz"); visit.Status != 200 {
		w.t.Errorf("/healthz answers %d", visit.Status)
	}
	if visit := w.get("/readyz"); visit.Status != want.status {
		w.t.Errorf("/readyz answers %d %q, want %d", visit.Status, visit.Body, want.status)
	}
	status, err := w.Status(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	site := status.Sites[0]
	if status.Ready != (want.status == 200) || site.Certificate.Have != want.certificate || site.Key.Fingerprint != want.fingerprint {
		w.t.Errorf("/status says ready %t, certificate %t, key %q", status.Ready, site.Certificate.Have, site.Key.Fingerprint)
	}
	m := w.metrics()
	for _, r := range site.Registrations {
		if r.State != want.state {
			w.t.Errorf("/status says %s in %s, want %s", r.State, r.Region, want.state)
		}
		for _, state := range registrar.States() {
			series := `wellkey_registration_status{domain="` + w.Domain + `",region="` + string(r.Region) + `",state="` + string(state) + `"}`
			if on := "1"; m[series] != on && state == want.state || m[series] != "0" && state != want.state {
				w.t.Errorf("%s is %q", series, m[series])
			}
		}
	}
	if ready := map[bool]string{true: "1", false: "0"}[status.Ready]; m["wellkey_ready"] != ready {
		w.t.Errorf("wellkey_ready is %q, want %s", m["wellkey_ready"], ready)
	}
	key := `wellkey_key_info{domain="` + w.Domain + `",fingerprint="` + want.fingerprint + `",origin="` + site.Key.Origin + `"}`
	if want.fingerprint != "" && m[key] != "1" {
		w.t.Errorf("%s is %q", key, m[key])
	}
}

// metrics returns the series of /metrics with their values, after a look at the
// exposition itself.
func (w *world) metrics() map[string]string {
	w.t.Helper()
	visit := w.get("/metrics")
	problems, err := promlint.New(strings.NewReader(string(visit.Body))).Lint()
	if err != nil {
		w.t.Errorf("/metrics: %v", err)
	}
	for _, p := range problems {
		w.t.Errorf("/metrics: %s: %s", p.Metric, p.Text)
	}
	series := map[string]string{}
	for line := range strings.Lines(string(visit.Body)) {
		line = strings.TrimSpace(line)
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			series[line[:i]] = line[i+1:]
		}
	}
	return series
}

// TestFirstScreenful reads the log as an operator does who starts wellkey for
// the first time: all there is to know fits on a screen, nothing is said twice,
// and afterwards there is silence.
func TestFirstScreenful(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	r := w.run("LOG_LEVEL=info")
	status := w.awaitRegistered()
	site := status.Sites[0]
	w.awaitLine(r.Log, "registered in every region; owners can pair their cars", "pairing_link", "https://tesla.com/_ak/"+w.Domain)
	w.awaitLine(r.Log, "wellkey starts", "version", status.Version, "domain", w.Domain)
	w.awaitLine(r.Log, "key changed", "fingerprint", site.Key.Fingerprint, "origin", "generated", "path", w.keyFile())
	for name, addr := range map[string]string{"http": w.HTTPAddr, "https": w.HTTPSAddr, "admin": w.AdminAddr} {
		w.awaitLine(r.Log, "listening", "listener", name, "address", addr)
	}
	w.awaitLine(r.Log, "certificate obtained", "renewal", site.Certificate.Renewal.UTC().Format("2006-01-02T15:04:05Z"))
	w.awaitLine(r.Log, "key reachable from outside")
	for _, region := range []string{"na", "eu"} {
		w.awaitLine(r.Log, "registration", "region", region, "state", "registered", "registered_fingerprint", site.Key.Fingerprint)
	}
	if code := r.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	wantNoRepetition(t, r.Log.String(), 24)
	if strings.Contains(r.Log.String(), `"level":"warn"`) || strings.Contains(r.Log.String(), `"level":"error"`) {
		t.Error("a good start gives warnings")
	}

	// A second start says where the key is from, and what it knows already.
	again := w.run("LOG_LEVEL=info")
	w.awaitLine(again.Log, "key loaded", "fingerprint", site.Key.Fingerprint, "origin", "file", "path", w.keyFile())
	w.awaitLine(again.Log, "certificate loaded")
	w.awaitLine(again.Log, "key reachable from outside")
	w.awaitLine(again.Log, "registered in every region; owners can pair their cars")
	again.Stop()
	wantNoRepetition(t, again.Log.String(), 24)
}

// wantNoRepetition wants at most so many lines, none of which says the same as
// another at another time.
func wantNoRepetition(t *testing.T, log string, most int) {
	t.Helper()
	seen := map[string]bool{}
	lines := strings.Split(strings.TrimSpace(log), "\n")
	for _, line := range lines {
		before, rest, _ := strings.Cut(line, `"time":"`)
		if said := before + rest[strings.IndexByte(rest, '"'):]; seen[said] {
			t.Errorf("said twice: %s", line)
		} else {
			seen[said] = true
		}
	}
	if len(lines) > most {
		t.Errorf("%d lines do not fit on a screen of %d", len(lines), most)
	}
}
