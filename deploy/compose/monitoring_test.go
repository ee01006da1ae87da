package compose_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"wellkey/deploy/deploytest"
)

// Prometheus takes its configuration with the rules beside it, as they lie in the
// container, and the job is the one that the rules were written for.
func TestMonitoringScrapes(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, "monitoring.yaml")
	inside := t.TempDir()
	for _, v := range p.Services["prometheus"].Volumes {
		if rest, ok := strings.CutPrefix(v.Target, "/etc/prometheus/"); ok {
			text, err := os.ReadFile(v.Source)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(inside, rest), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out, err := exec.Command("promtool", "check", "config", filepath.Join(inside, "prometheus.yml")).CombinedOutput(); err != nil {
		t.Errorf("promtool (Debian package prometheus): %v\n%s", err, out)
	}
	type config struct {
		Global        any
		RuleFiles     any   `yaml:"rule_files"`
		ScrapeConfigs []job `yaml:"scrape_configs"`
	}
	read := func(path string) (c config) {
		if err := yaml.Unmarshal([]byte(deploytest.Read(t, path)), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ours, model := read("deploy/compose/monitoring/prometheus.yml"), read("deploy/prometheus/prometheus.yml")
	if got := ours.ScrapeConfigs[0].Static[0].Targets[0]; got != "wellkey:9090" {
		t.Errorf("it scrapes %q", got)
	}
	ours.ScrapeConfigs[0].Static, model.ScrapeConfigs[0].Static = nil, nil
	if !reflect.DeepEqual(ours, model) {
		t.Errorf("the configuration is %+v, that of deploy/prometheus is %+v", ours, model)
	}
}

type job struct {
	Name   string                       `yaml:"job_name"`
	Static []struct{ Targets []string } `yaml:"static_configs"`
}

// Grafana finds the dashboard where its provider looks, and Prometheus where its
// source is.
func TestMonitoringShows(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, "monitoring.yaml")
	var provider struct {
		Providers []struct{ Options struct{ Path string } }
	}
	var source struct {
		Datasources []struct{ URL string }
	}
	for path, into := range map[string]any{"dashboards": &provider, "datasources": &source} {
		if err := yaml.Unmarshal([]byte(deploytest.Read(t, "deploy/grafana/provisioning/"+path+"/wellkey.yml")), into); err != nil {
			t.Fatal(err)
		}
	}
	targets := map[string]bool{}
	for _, v := range p.Services["grafana"].Volumes {
		targets[v.Target] = true
	}
	if dashboard := provider.Providers[0].Options.Path + "/wellkey.json"; !targets[dashboard] || !targets["/etc/grafana/provisioning"] {
		t.Errorf("the provider looks at %s, and mounted are %v", dashboard, targets)
	}
	if _, ok := p.Services["prometheus"]; !ok || source.Datasources[0].URL != "http://prometheus:9090" {
		t.Errorf("the source is %s", source.Datasources[0].URL)
	}
	if got := environment(p.Services["grafana"])["GF_SECURITY_ADMIN_PASSWORD__FILE"]; got != "/run/secrets/grafana-password" || len(p.Services["grafana"].Secrets) != 1 {
		t.Errorf("the password is read from %q", got)
	}
}
