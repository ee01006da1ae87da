package prometheus_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"wellkey/deploy/deploytest"
	"wellkey/internal/admin"
	"wellkey/registrar"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// TestScrape looks at what a wellkey exports that does all that it can: it obtained
// its certificate by itself, and is registered.
func TestScrape(t *testing.T) {
	t.Parallel()
	w := newWorld(t).serve().await(registrar.Registered)
	text := w.scrape()
	more := busyWorld(t).scrape()
	for _, scraped := range [][]byte{text, more} {
		promtool(t, scraped, "check", "metrics")
	}

	const path = "../../docs/metrics.md"
	all := families(t, text)
	for name, f := range families(t, more) {
		if all[name] == nil {
			all[name] = f
		} else {
			all[name].Metric = append(all[name].Metric, f.Metric...)
		}
	}
	for _, name := range []string{"wellkey_acme_failing_since_timestamp_seconds", "wellkey_probe_finding"} {
		delete(all, name) // comes and goes with the failures; the page tells of it
	}
	got := reference(all)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := deploytest.ReadFile(t, path); !bytes.Equal(got, want) {
		t.Errorf("%s is not what wellkey exports: run go test ./deploy/prometheus -run TestScrape -update, and look at the difference", path)
	}

	// OpenMetrics knows a counter by its name without _total, so no gauge may have
	// that name.
	for name := range all {
		if base, counter := strings.CutSuffix(name, "_total"); counter && strings.HasPrefix(name, "wellkey_") && all[base] != nil {
			t.Errorf("%s has the name of another metric in OpenMetrics", name)
		}
	}
	// What Prometheus asks for if it can.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.AdminAddr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var open bytes.Buffer
	if _, err := open.ReadFrom(resp.Body); err != nil || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/openmetrics-text; version=1.0.0") ||
		!bytes.HasSuffix(open.Bytes(), []byte("\n# EOF\n")) {
		t.Errorf("OpenMetrics is answered with %q, %v", resp.Header.Get("Content-Type"), err)
	}

	before := series(text)
	w.harass(*harassment)
	text = w.scrape()
	after := series(text)
	if n := answered(families(t, text)); n < float64(*harassment)/4 {
		t.Errorf("%v requests were answered, of %d: the rest did not get through", n, *harassment)
	}
	if len(before) < 300 || len(after) != len(before) {
		t.Errorf("%d random requests make %d series out of %d", *harassment, len(after), len(before))
	}
	for name := range after {
		if !before[name] {
			t.Errorf("new series %s", name)
		}
	}
}

// busyWorld is a wellkey with everything switched on that is off as a rule, and
// with an authority that fails.
func busyWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.serve("ACME_DIRECTORY=https://127.0.0.1:1/directory", "ACME_FALLBACK_DIRECTORY="+w.CA.Directory(),
		"UPSTREAM=http://127.0.0.1:1", "PASSTHROUGH=telemetry.example.com=127.0.0.1:1", "TRUSTED_PROXIES=192.0.2.1", "PROXY_PROTOCOL=on")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := w.AwaitStatus(ctx, func(s admin.Status) bool { return s.Sites[0].Certificate.LastError != nil }); err != nil {
		t.Fatal(err)
	}
	return w
}

// answered returns how many requests of all kinds were answered.
func answered(all map[string]*dto.MetricFamily) (n float64) {
	for _, m := range all["wellkey_http_requests_total"].GetMetric() {
		n += m.GetCounter().GetValue()
	}
	return n
}

// families returns the metrics of a scrape.
func families(t *testing.T, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// series returns the names and labels of a scrape.
func series(text []byte) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			all[line[:i]] = true
		}
	}
	return all
}

// reference returns docs/metrics.md.
func reference(all map[string]*dto.MetricFamily) []byte {
	var out bytes.Buffer
	out.WriteString(`# Metrics

What ` + "`GET /metrics`" + ` of the admin listener has, as real runs export it; this page is made from some, and a test compares them.
Besides these there are the usual ones of Go (` + "`go_*`" + `), of the process (` + "`process_*`" + `) and of the endpoint itself
(` + "`promhttp_*`" + `). OpenMetrics is given to those who ask for it.

Times are Unix timestamps in seconds: ` + "`time() - x`" + ` is an age. Counters and the values of labels that are listed here are
there from the start, with 0. What is not known is absent, rather than 0, unless the text says otherwise. No label comes from
what strangers send: the number of series depends on the settings alone. With ` + "`tls: files`" + ` or ` + "`tls: off`" + ` those of ACME are missing; those of upstream and
passthrough are there where such a setting is, and ` + "`wellkey_acme_failing_since_timestamp_seconds{authority}`" + ` while every
attempt at an authority fails. ` + "`wellkey_probe_finding{domain,reason}`" + ` is 1 while our own last look from outside did not find the key, or
could not tell: a series a domain at most, with the reason that the status and the log give.

Alerts on them: [deploy/prometheus](../deploy/prometheus/wellkey.rules.yml), explained in [runbooks.md](runbooks.md). A
dashboard: [deploy/grafana](../deploy/grafana/wellkey.json).

| metric | type | labels | |
|---|---|---|---|
`)
	var names []string
	for name := range all {
		if strings.HasPrefix(name, "wellkey_") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		f := all[name]
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), labels(f), strings.ReplaceAll(f.GetHelp(), "|", `\|`))
	}
	return out.Bytes()
}

// manyValues are so many that a table is no place for them.
const manyValues = 16

// labels lists the labels of a metric; with their values where those are a closed
// set, which is there from the start.
func labels(f *dto.MetricFamily) string {
	var names []string
	values := map[string][]string{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			if !slices.Contains(names, l.GetName()) {
				names = append(names, l.GetName())
			}
			if !slices.Contains(values[l.GetName()], l.GetValue()) {
				values[l.GetName()] = append(values[l.GetName()], l.GetValue())
			}
		}
	}
	slices.Sort(names)
	for i, name := range names {
		all := values[name]
		slices.Sort(all)
		names[i] = "`" + name + "`"
		switch {
		case name == "domain" || name == "name" || strings.HasSuffix(f.GetName(), "_info"):
		case len(all) > manyValues:
			names[i] += ": a closed set of many"
		default:
			names[i] += ": " + strings.Join(all, ", ")
		}
	}
	return strings.Join(names, "<br>")
}
