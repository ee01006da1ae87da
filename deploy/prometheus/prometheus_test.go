// Package prometheus has only tests: they try the rules, their runbooks and the
// scrape configuration on a real Prometheus that scrapes real wellkeys.
package prometheus_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"wellkey/deploy/deploytest"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/internal/testprometheus"
	"wellkey/internal/testworld"
	"wellkey/registrar"
)

const rulesFile = "wellkey.rules.yml"

// A rule is one alert.
type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.Unmarshal(deploytest.ReadFile(t, rulesFile), &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 12 {
		t.Fatalf("%s has %d rules: it was not understood", rulesFile, len(all))
	}
	return all
}

func promtool(t *testing.T, stdin []byte, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("finding promtool: %v; install Debian's package prometheus (.ci/need prometheus)", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("FAILED")) {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool(t, nil, "check", "rules", rulesFile)
	promtool(t, nil, "check", "config", "prometheus.yml")
	promtool(t, nil, "test", "rules", "wellkey.rules.test.yml")
}

// TestRules shows that each alert is complete, has a runbook and a test, and that
// no runbook is without its alert.
func TestRules(t *testing.T) {
	t.Parallel()
	runbooks := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)\n\n\*\*Meaning\.\*\* [^*]+\n\n\*\*Look\.\*\* [^*]+(?:\*[^*]+\*[^*]+)?\n\n\*\*Do\.\*\* `).FindAllStringSubmatch(string(deploytest.ReadFile(t, "../../docs/runbooks.md")), -1) {
		runbooks[m[1]] = true
	}
	tests := string(deploytest.ReadFile(t, "wellkey.rules.test.yml"))
	camel := regexp.MustCompile(`^Wellkey([A-Z][a-z]+)+$`)
	seen := map[string]bool{}
	for _, r := range readRules(t) {
		if !camel.MatchString(r.Alert) || seen[r.Alert] {
			t.Errorf("the name %q is there twice, or not in CamelCase", r.Alert)
		}
		seen[r.Alert] = true
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, severity)
		}
		for _, name := range []string{"summary", "description"} {
			if text := r.Annotations[name]; text == "" || strings.Contains(text, "\n") {
				t.Errorf("%s has the %s %q", r.Alert, name, text)
			}
		}
		if got, want := r.Annotations["runbook_url"], "docs/runbooks.md#"+strings.ToLower(r.Alert); got != want || !runbooks[r.Alert] {
			t.Errorf("%s leads to %q, want %q; there is such a runbook: %v", r.Alert, got, want, runbooks[r.Alert])
		}
		if !strings.Contains(tests, `alertname="`+r.Alert+`"`) {
			t.Errorf("%s fires in no test of wellkey.rules.test.yml", r.Alert)
		}
	}
	for name := range runbooks {
		if !seen[name] {
			t.Errorf("the runbook %s has no alert", name)
		}
	}
}

// impatient returns a copy of the rules whose alerts fire at once.
func impatient(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/rules.yml"
	text := regexp.MustCompile(`(?m)^ +for: .*\n`).ReplaceAll(deploytest.ReadFile(t, rulesFile), nil)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// comparisons are the operators that leave out what is not as they say.
var comparisons = regexp.MustCompile(` (==|!=|>=|<=|>|<) `)

// TestPrometheus has a real Prometheus look at wellkeys that are well, and at
// others to each of which something happens: all that the rules read is there, and
// the alert of each fault fires where the fault is, and nowhere else.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	well := newWorld(t).serve("UPSTREAM=http://127.0.0.1:1").await(registrar.Registered)
	faulty := faults(t)
	targets := []string{well.AdminAddr}
	for _, f := range faulty {
		targets = append(targets, f.world.AdminAddr)
	}
	p := testprometheus.Start(t, []string{impatient(t)}, testprometheus.Targets(targets...))
	for _, f := range faulty {
		if f.later != nil {
			f.later(f.world)
		}
	}

	for _, r := range readRules(t) {
		expr := comparisons.ReplaceAllString(r.Expr, " $1 bool ")
		if inner, ok := strings.CutPrefix(expr, "absent("); ok {
			expr = strings.TrimSuffix(inner, ")")
		}
		p.Await("data for "+r.Alert+": "+expr, func() bool {
			samples, err := p.Query(expr)
			if err != nil {
				t.Fatalf("%s: %v", r.Alert, err)
			}
			return len(samples) > 0
		})
	}
	for _, f := range faulty {
		for _, alert := range f.alerts {
			p.Await(alert+" where "+f.name, func() bool { return slices.Contains(firing(p, f.world), alert) })
		}
	}
	// One scrape that takes more than a second, on a busy machine, is one that failed:
	// what must not be is an alert that stays.
	var got []string
	defer func() {
		if len(got) > 0 {
			t.Errorf("of the one that is well: %v", got)
		}
	}()
	p.Await("silence where all is well", func() bool { got = firing(p, well); return len(got) == 0 })
	for _, a := range p.Firing() {
		if strings.Contains(a.Annotations["summary"]+a.Annotations["description"], "no value") || a.Annotations["summary"] == "" {
			t.Errorf("the words of %v are %q", a.Labels, a.Annotations)
		}
	}
}

func firing(p *testprometheus.Server, w *world) []string {
	var names []string
	for _, a := range p.Firing() {
		if a.Labels["instance"] == w.AdminAddr {
			names = append(names, a.Labels["alertname"])
		}
	}
	return names
}

// A fault is a wellkey to which something happens.
type fault struct {
	name   string
	world  *world
	later  func(*world) // happens while Prometheus looks
	alerts []string
}

func faults(t *testing.T) []fault {
	t.Helper()
	second := func(c *testworld.Config) {
		c.Profiles = []testca.Profile{{Name: "classic", CommonName: true, Lifetime: 15 * time.Second}}
	}
	all := []fault{
		{name: "it is stopped", world: newWorld(t, withFiles).serve().await(registrar.Registered),
			later: func(w *world) { w.run.Stop() }, alerts: []string{"WellkeyDown"}},
		{name: "the key file is another one", world: newWorld(t, withFiles).serve().await(registrar.Registered),
			later: func(w *world) { w.writeKey() }, alerts: []string{"WellkeyRegistrationMismatch"}},
		{name: "the key file is bad", world: newWorld(t, withFiles).serve().await(registrar.Registered),
			later: func(w *world) { w.write(w.DataDir+"/key.pem", "no key") }, alerts: []string{"WellkeyReloadFailed"}},
		{name: "the certificate is renewed by nobody, and ends", world: newWorld(t, second).serve(),
			alerts: []string{"WellkeyCertificateRenewalOverdue", "WellkeyCertificateExpired"}},
		{name: "the storage is gone", world: newWorld(t, withFiles).serve().await(registrar.Registered),
			later: func(w *world) {
				for _, err := range []error{os.Rename(w.DataDir+"/state", w.DataDir+"/away"), os.WriteFile(w.DataDir+"/state", nil, 0o600)} {
					if err != nil {
						t.Error(err)
					}
				}
				w.write(w.CredentialsFile, "client_id: 11111111-2222-4333-8444-555555555555\nclient_secret: ta-secret.of-another-one\n")
			}, alerts: []string{"WellkeyStorageNotWritable", "WellkeyRegistrationRefused"}},
	}
	tesla := newWorld(t, withFiles)
	tesla.Tesla.Break(fleetsim.Reset, fleetsim.Limit{})
	tesla.serve().await(registrar.Unavailable)
	lost := newWorld(t, withFiles)
	lost.enroll()
	lost.serve().await(registrar.Registered)
	expired := newWorld(t, withFiles)
	if err := expired.SignFiles(testca.LeafOptions{NotBefore: time.Now().AddDate(0, -3, 0), NotAfter: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	expired.serve().await(registrar.Unreachable)
	return append(all,
		fault{name: "Tesla is down", world: tesla, alerts: []string{"WellkeyTeslaUnavailable"}},
		fault{name: "the data directory was lost", world: lost, alerts: []string{"WellkeyPrivateKeyMissing"}},
		fault{name: "the certificate in the files has expired", world: expired, alerts: []string{"WellkeyCertificateExpired", "WellkeyUnreachable"}},
	)
}

// write replaces a file in one step.
func (w *world) write(path, text string) {
	w.t.Helper()
	for _, err := range []error{os.WriteFile(path+".next", []byte(text), 0o600), os.Rename(path+".next", path)} {
		if err != nil {
			w.t.Fatal(err)
		}
	}
}
