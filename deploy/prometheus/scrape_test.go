package prometheus_test

import (
	"bytes"
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

	"wellkey/registrar"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// TestScrape looks at what a wellkey exports that does all that it can: it obtained
// its certificate by itself, and is registered.
func TestScrape(t *testing.T) {
	t.Parallel()
	w := newWorld(t).serve().await(registrar.Registered)
	text := w.scrape()

	promtool(t, text, "check", "metrics")

	const path = "../../docs/metrics.md"
	got := reference(families(t, text))
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, path); !bytes.Equal(got, want) {
		t.Errorf("%s is not what wellkey exports: run go test ./deploy/prometheus -run TestScrape -update, and look at the difference", path)
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

What ` + "`GET /metrics`" + ` of the admin listener has, as a real run exports it; this page is made from one, and a test compares them.
Besides these there are the usual ones of Go (` + "`go_*`" + `), of the process (` + "`process_*`" + `) and of the endpoint itself
(` + "`promhttp_*`" + `). OpenMetrics is given to those who ask for it.

Times are Unix timestamps in seconds: ` + "`time() - x`" + ` is an age. Counters and the values of labels that are listed here are
there from the start, with 0. What is not known is absent, rather than 0. No label comes from what strangers send: the
number of series depends on the settings alone. With ` + "`tls: files`" + ` or ` + "`tls: off`" + ` those of ACME are missing.

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
		case name == "domain" || strings.HasSuffix(f.GetName(), "_info"):
		case len(all) > manyValues:
			names[i] += fmt.Sprintf(" (%d values)", len(all))
		default:
			names[i] += ": " + strings.Join(all, ", ")
		}
	}
	return strings.Join(names, "<br>")
}
