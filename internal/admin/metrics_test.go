package admin_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
	"wellkey/registrar/reach"
	"wellkey/server/certs"
)

// gather returns what a scrape gets, in the text format.
func gather(t *testing.T, w *world) string {
	t.Helper()
	a := w.admin(t)
	problems, err := testutil.GatherAndLint(a.Gatherer())
	if err != nil || len(problems) > 0 {
		t.Errorf("linting: %v, %v", problems, err)
	}
	_, text := ask(t, a.Handler(), "/metrics")
	return strings.ReplaceAll(text, runtime.Version(), "GO")
}

// TestMetrics compares all metrics with a prepared world: one domain that is
// registered in one region and refused in the other.
func TestMetrics(t *testing.T) {
	w := newWorld(t, domain)
	refused(t, w)
	got := gather(t, w)
	const path = "testdata/metrics.txt"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the metrics are not those of %s (- want, + got):\n%s", path, diff)
	}
}

// TestMetricsBeforeTheStart shows that the series of all closed sets are there
// from the start, and that what is not known yet is absent rather than wrong.
func TestMetricsBeforeTheStart(t *testing.T) {
	w := newWorld(t, domain)
	withoutKey(registrar.Note{Reason: registrar.ReasonAsking})(t, w)
	got := gather(t, w)
	want := []string{"wellkey_ready 0", `wellkey_key_file_good{domain="keys.example.com"} 0`}
	for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
		want = append(want, fmt.Sprintf("wellkey_registration_key_match{domain=%q,region=%q} 0", domain, region))
		for _, state := range registrar.States() {
			value := 0
			if state == registrar.Pending {
				value = 1
			}
			want = append(want, fmt.Sprintf("wellkey_registration_status{domain=%q,region=%q,state=%q} %d", domain, region, state, value))
		}
	}
	for _, verdict := range reach.Verdicts() {
		want = append(want, fmt.Sprintf("wellkey_probe_verdict{domain=%q,verdict=%q} 0", domain, verdict))
	}
	for _, line := range want {
		if !strings.Contains(got, "\n"+line+"\n") {
			t.Errorf("there is no %s in\n%s", line, got)
		}
	}
	for _, absent := range []string{"wellkey_key_info", `wellkey_probe_success{domain="keys.example.com",vantage="loop"}`, `wellkey_probe_success{domain="keys.example.com",vantage="tesla"}`,
		"wellkey_probe_last_run", "wellkey_registration_last", "wellkey_registration_next"} {
		if strings.Contains(got, absent) {
			t.Errorf("%s is there before it can be known", absent)
		}
	}
}

// TestMetricsFollow shows what each series does when its subject turns bad.
func TestMetricsFollow(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *world)
		want   string
	}{
		{"unreachable", func(w *world) { w.sites[0].Look.Verdict = reach.Unreachable }, `wellkey_probe_success{domain="keys.example.com",vantage="loop"} 0`},
		{"inconclusive", func(w *world) { w.sites[0].Look.Verdict = reach.Inconclusive }, `wellkey_probe_verdict{domain="keys.example.com",verdict="inconclusive"} 1`},
		{"bad key file", func(w *world) { w.keys[domain] = keystore.Status{Origin: keystore.OriginFile, LastError: "bad"} }, `wellkey_key_file_good{domain="keys.example.com"} 0`},
		{"other key", func(w *world) { w.sites[0].Regions[0].Registered = keyOf(t, otherPoint) }, `wellkey_registration_key_match{domain="keys.example.com",region="na"} 0`},
		{"not found by the CA", func(w *world) { w.fail(certs.ReasonConnection, noon) }, `wellkey_probe_success{domain="keys.example.com",vantage="acme"} 0`},
		{"not found by Tesla", func(w *world) {
			w.sites[0].Regions[1].Failure = &registrar.Failure{At: noon, Reason: string(fleetapi.KeyDownloadFailed)}
		}, `wellkey_probe_success{domain="keys.example.com",vantage="tesla"} 0`},
		{"no certificate", func(w *world) { w.certs[domain] = certs.Status{Source: "acme"} }, `wellkey_tls_certificate_served{domain="keys.example.com"} 0`},
		{"good credentials", func(w *world) { w.reloads[1].Good = true }, `wellkey_config_last_reload_successful{part="credentials"} 1`},
		{"stopping", func(w *world) { w.stopping = true }, "wellkey_ready 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, domain)
			if strings.Contains(gather(t, w), "\n"+test.want+"\n") {
				t.Fatalf("%s is there when all is well", test.want)
			}
			test.change(w)
			if got := gather(t, w); !strings.Contains(got, "\n"+test.want+"\n") {
				t.Errorf("there is no %s in\n%s", test.want, got)
			}
		})
	}
}

// TestEvidence shows what somebody else's look counts for, and what does not.
func TestEvidence(t *testing.T) {
	const acme, tesla = `wellkey_probe_success{domain="keys.example.com",vantage="acme"}`, `wellkey_probe_success{domain="keys.example.com",vantage="tesla"}`
	earlier := noon.Add(-100 * 24 * time.Hour)
	for _, test := range []struct {
		name   string
		change func(w *world)
		series string
		want   string // "" = absent
	}{
		{"validated", func(*world) {}, acme, "1"},
		{"our own look is inconclusive", func(w *world) { w.sites[0].Look.Verdict = reach.Inconclusive }, `wellkey_probe_success{domain="keys.example.com",vantage="loop"}`, ""},
		{"never validated", func(w *world) { w.certs[domain] = certs.Status{Source: "acme"} }, acme, ""},
		{"the CA has trouble of its own", func(w *world) { w.fail(certs.ReasonServer, noon) }, acme, ""},
		{"the CA did not find us, and did since", func(w *world) { w.fail(certs.ReasonDNS, earlier) }, acme, "1"},
		{"registered", func(*world) {}, tesla, "1"},
		{"registered by somebody else", func(w *world) {
			w.sites[0].Regions = []registrar.RegionSnapshot{{Region: fleetapi.NA, State: registrar.Registered}}
		}, tesla, ""},
		{"Tesla is down", func(w *world) {
			w.sites[0].Regions[0].Failure = &registrar.Failure{At: noon, Reason: string(fleetapi.Unavailable)}
		}, tesla, "1"},
		{"Tesla did not find us, and did since", func(w *world) {
			w.sites[0].Regions[0].Failure = &registrar.Failure{At: earlier, Reason: string(fleetapi.KeyDownloadFailed)}
		}, tesla, "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, domain)
			test.change(w)
			_, after, there := strings.Cut(gather(t, w), "\n"+test.series+" ")
			got, _, _ := strings.Cut(after, "\n")
			if got != test.want || there != (test.want != "") {
				t.Errorf("%s is %q, want %q", test.series, got, test.want)
			}
		})
	}
}

// fail makes the last attempt at a certificate a failed one.
func (w *world) fail(reason certs.Reason, at time.Time) {
	s := w.certs[domain]
	s.LastError = &certs.Failure{At: at, Reason: reason}
	w.certs[domain] = s
}

// TestMetricsAreBounded shows that nothing but the settings makes more series:
// not what clients, Tesla or the key file say.
func TestMetricsAreBounded(t *testing.T) {
	series := func(change func(w *world)) int {
		w := newWorld(t, domain)
		change(w)
		return strings.Count(gather(t, w), "\nwellkey_")
	}
	usual := series(func(*world) {})
	if nasty := series(func(w *world) { hostile(t, w) }); nasty > usual {
		t.Errorf("hostile texts make %d series out of %d", nasty, usual)
	}
}

// TestScrape asks as Prometheus does.
func TestScrape(t *testing.T) {
	h := newWorld(t, domain).admin(t).Handler()
	for accept, want := range map[string]string{
		"": "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
		"application/openmetrics-text;version=1.0.0": "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
	} {
		resp, body := ask(t, h, "/metrics", "Accept", accept, "User-Agent", "Prometheus/3.5.0", "Host", "wellkey.monitoring.svc:9090")
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != want || !strings.Contains(body, "wellkey_build_info{") {
			t.Errorf("a scrape that accepts %q is answered with %d, %q", accept, resp.StatusCode, got)
		}
	}
}

// TestScrapeIsConsistent: what is gathered past the checks of a registry passes them.
func TestScrapeIsConsistent(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"well": func(*world) {}, "hostile": func(w *world) { hostile(t, w) }, "refused": func(w *world) { refused(t, w) },
		"without a key": func(w *world) { withoutKey(registrar.Note{Reason: registrar.ReasonAsking})(t, w) },
		"no site":       func(w *world) { w.sites = nil },
	} {
		w := newWorld(t, domain, "second.example.com")
		change(w)
		a := w.admin(t)
		checked, err := a.Gatherer().Gather()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var want bytes.Buffer
		for _, family := range checked {
			if _, err := expfmt.MetricFamilyToText(&want, family); err != nil {
				t.Fatal(err)
			}
		}
		_, got := ask(t, a.Handler(), "/metrics")
		if diff := cmp.Diff(ofStatus(want.String()), ofStatus(got)); diff != "" {
			t.Errorf("%s (- with checks, + without):\n%s", name, diff)
		}
	}
}

// ofStatus returns the lines in order, without those that count the scrape itself.
func ofStatus(text string) (kept []string) {
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "promhttp_") {
			kept = append(kept, line)
		}
	}
	slices.Sort(kept)
	return kept
}

// TestScrapeInProtobuf: who wants another format than text gets all, too.
func TestScrapeInProtobuf(t *testing.T) {
	a := newWorld(t, domain).admin(t)
	resp, body := ask(t, a.Handler(), "/metrics", "Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/vnd.google.protobuf") || !strings.Contains(body, "wellkey_registration_status") {
		t.Errorf("got %q, %.200q", kind, body)
	}
}
