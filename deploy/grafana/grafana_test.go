// Package grafana has only tests: they try every expression of the dashboard on a
// real Prometheus that scrapes a real wellkey.
package grafana_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testleak"
	"wellkey/internal/testprometheus"
	"wellkey/internal/testworld"
)

func TestMain(m *testing.M) { testleak.Main(m.Run) }

// A dashboard is what is checked of one.
type dashboard struct {
	UID, Title, Refresh string
	Tags                []string
	SchemaVersion       int
	Links               []link
	Templating          struct{ List []variable }
	Panels              []panel
}

type link struct{ Title, URL string }

type variable struct {
	Name, Type, Definition string
	Datasource             *datasource
}

type datasource struct{ Type, UID string }

type panel struct {
	ID          int
	Type, Title string
	Datasource  *datasource
	GridPos     struct{ X, Y, W, H int }
	Links       []link
	Targets     []struct {
		RefID        string `json:"refId"`
		Expr         string
		LegendFormat string
		Datasource   datasource
	}
	FieldConfig struct {
		Defaults struct{ Unit string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal(deploytest.ReadFile(t, "wellkey.json"), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var prometheusVariable = datasource{"prometheus", "${datasource}"}

// TestDashboard shows that the dashboard fits into any Grafana: a fixed uid, a
// data source that is chosen, panels that do not overlap.
func TestDashboard(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.UID != "wellkey" || d.Refresh != "1m" || d.SchemaVersion < 36 || !slices.Contains(d.Tags, "wellkey") {
		t.Errorf("uid %q, refresh %q, schema %d, tags %q", d.UID, d.Refresh, d.SchemaVersion, d.Tags)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" && (v.Datasource == nil || *v.Datasource != prometheusVariable) {
			t.Errorf("the variable %s has a data source of its own", v.Name)
		}
	}
	if want := []string{"datasource", "job", "instance", "runbooks"}; !slices.Equal(variables, want) {
		t.Errorf("the variables are %q, want %q", variables, want)
	}
	var rows []string
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] {
			t.Errorf("panel %d, %q, has no title or the id of another one", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok || x >= 24 {
					t.Fatalf("%q overlaps with %q, or is too wide", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Datasource == nil || *p.Datasource != prometheusVariable || len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%q has a data source of its own, no expression, or no unit", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource != prometheusVariable || !strings.Contains(target.Expr, `job=~"$job",instance=~"$instance"`) {
				t.Errorf("%q does not go by the variables: %s", p.Title, target.Expr)
			}
		}
	}
	if want := []string{"Status", "Certificate", "ACME", "Tesla", "Traffic", "Process"}; !slices.Equal(rows, want) {
		t.Errorf("the rows are %q, want %q", rows, want)
	}
}

// TestLinks shows that every link leads to a runbook, and that the dashboard leads
// to all of them but that of the alert which has nothing to show.
func TestLinks(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	want := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(string(deploytest.ReadFile(t, "../../docs/runbooks.md")), -1) {
		if m[1] != "WellkeyAbsent" {
			want["${runbooks}#"+strings.ToLower(m[1])] = false
		}
	}
	if len(d.Links) != 1 || d.Links[0].URL != "${runbooks}" {
		t.Errorf("the dashboard itself leads to %v", d.Links)
	}
	for _, p := range d.Panels {
		for _, l := range p.Links {
			if _, ok := want[l.URL]; !ok {
				t.Errorf("%q leads to %s, which is not there", p.Title, l.URL)
			}
			want[l.URL] = true
		}
	}
	for url, found := range want {
		if !found {
			t.Errorf("no panel leads to %s", url)
		}
	}
}

// TestExpressions shows that every panel, and every choice of a variable, has
// something to show of a wellkey that is well.
func TestExpressions(t *testing.T) {
	t.Parallel()
	w := serve(t)
	p := testprometheus.Start(t, nil, testprometheus.Targets(w.AdminAddr))
	chosen := strings.NewReplacer(`"$job"`, `"(wellkey)"`, `"$instance"`, `"(`+strings.ReplaceAll(regexp.QuoteMeta(w.AdminAddr), `\`, `\\`)+`)"`, "$__rate_interval", (8 * testprometheus.Interval).String())
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			expr := chosen.Replace(target.Expr)
			var samples []testprometheus.Sample
			p.Await(fmt.Sprintf("data for %q: %s", panel.Title, expr), func() bool {
				var err error
				if samples, err = p.Query(expr); err != nil {
					t.Fatalf("%s: %v", panel.Title, err)
				}
				return len(samples) > 0
			})
			for _, m := range regexp.MustCompile(`{{(\w+)}}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if samples[0].Labels[m[1]] == "" {
					t.Errorf("%q wants the label %s, and there are %v", panel.Title, m[1], samples[0].Labels)
				}
			}
			if target.LegendFormat == "" && len(samples) > 1 {
				t.Errorf("%q does not tell its %d series apart", panel.Title, len(samples))
			}
		}
	}
	choice := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)
	for _, v := range readDashboard(t).Templating.List {
		if v.Type != "query" {
			continue
		}
		m := choice.FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("the variable %s asks for %q", v.Name, v.Definition)
			continue
		}
		p.Await("a choice for the variable "+v.Name, func() bool { // a scrape that comes late leaves none
			samples, err := p.Query(chosen.Replace(m[1]))
			if err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			return len(samples) > 0 && samples[0].Labels[m[2]] != ""
		})
	}
}

// serve starts a wellkey that obtains its certificate and registers.
func serve(t *testing.T) *testworld.World {
	t.Helper()
	w := deploytest.Start(t, testworld.Config{Domain: "grafana.example.com"})
	if err := w.WriteCredentials(); err != nil {
		t.Fatal(err)
	}
	deploytest.Serve(t, w, "UPSTREAM=http://127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), deploytest.Patience)
	defer cancel()
	if _, err := w.AwaitStatus(ctx, deploytest.Registered); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestProvisioning shows that the files for Grafana's own start have the keys that
// it knows, and fit the dashboard.
//
// Source: https://grafana.com/docs/grafana/latest/administration/provisioning/
func TestProvisioning(t *testing.T) {
	t.Parallel()
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, UID, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			JSONData                     struct {
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	deploytest.ReadYAML(t, "provisioning/datasources/wellkey.yml", &sources)
	var scraped struct {
		Global struct {
			Interval string `yaml:"scrape_interval"`
		}
	}
	if err := yaml.Unmarshal(deploytest.ReadFile(t, "../prometheus/prometheus.yml"), &scraped); err != nil {
		t.Fatal(err)
	}
	if len(sources.Datasources) != 1 || sources.APIVersion != 1 {
		t.Fatalf("got %+v", sources)
	}
	if s := sources.Datasources[0]; s.Type != "prometheus" || s.UID == "" || s.Access != "proxy" || s.JSONData.TimeInterval != scraped.Global.Interval {
		t.Errorf("the data source is %+v, and the scrape interval %s", s, scraped.Global.Interval)
	}
	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type      string
			DisableDeletion bool `yaml:"disableDeletion"`
			AllowUIUpdates  bool `yaml:"allowUiUpdates"`
			Seconds         int  `yaml:"updateIntervalSeconds"`
			Options         struct{ Path string }
		}
	}
	deploytest.ReadYAML(t, "provisioning/dashboards/wellkey.yml", &boards)
	if len(boards.Providers) != 1 || boards.APIVersion != 1 || boards.Providers[0].Type != "file" || boards.Providers[0].Options.Path == "" {
		t.Errorf("got %+v", boards)
	}
}
