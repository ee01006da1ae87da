package kubernetes_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"wellkey/deploy/deploytest"
)

// A monitored is an endpoint of a ServiceMonitor: the fields of the Prometheus
// operator that the chart sets (monitoring.coreos.com/v1, Endpoint).
type monitored struct {
	Port, Path, Interval, Scheme string
	BasicAuth                    *struct{ Username, Password selected }
	TLSConfig                    *struct {
		ServerName string
		CA         struct{ Secret *selected }
	}
}

// A selected is one value of a Secret.
type selected struct{ Name, Key string }

// endpoint returns the one endpoint of the monitor that values give.
func endpoint(t *testing.T, text string) (e monitored) {
	t.Helper()
	objects, _, err := render(t, text)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.kind() != "ServiceMonitor" {
			continue
		}
		all, err := json.Marshal(o.at("spec", "endpoints"))
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(all))
		decoder.DisallowUnknownFields()
		var endpoints []monitored
		if err := decoder.Decode(&endpoints); err != nil || len(endpoints) != 1 {
			t.Fatalf("the endpoints are %s (%v)", all, err)
		}
		return endpoints[0]
	}
	t.Fatal("there is no ServiceMonitor")
	return e
}

// TestMonitorWithPasswords: the monitor asks as the admin listener wants to be asked, by
// default for nothing, and no password is among the values.
func TestMonitorWithPasswords(t *testing.T) {
	t.Parallel()
	plain := monitored{Port: "admin", Path: "/metrics", Interval: "30s"}
	if e := endpoint(t, domain+"monitoring: {serviceMonitor: {enabled: true}}"); !reflect.DeepEqual(e, plain) {
		t.Errorf("by default the endpoint is %+v", e)
	}
	const web = domain + "settings: {admin_web_config: /etc/web/web.yml}\nmonitoring:\n  serviceMonitor:\n    enabled: true\n"
	e := endpoint(t, web+"    basicAuth: {existingSecret: scrape}")
	if a := e.BasicAuth; a == nil || a.Username != (selected{"scrape", "username"}) || a.Password != (selected{"scrape", "password"}) || e.TLSConfig != nil || e.Scheme != "" {
		t.Errorf("with a password the endpoint is %+v", e)
	}
	e = endpoint(t, web+"    tls: {enabled: true}")
	if e.BasicAuth != nil || e.Scheme != "https" || e.TLSConfig == nil || e.TLSConfig.ServerName != "keys-wellkey-admin.keys.svc" || e.TLSConfig.CA.Secret != nil {
		t.Errorf("with TLS the endpoint is %+v", e)
	}
	e = endpoint(t, web+"    tls: {enabled: true, serverName: wellkey.example.com}")
	if e.TLSConfig == nil || e.TLSConfig.ServerName != "wellkey.example.com" {
		t.Errorf("with a name the endpoint is %+v", e)
	}
	_, notes, err := render(t, web)
	if err != nil || !strings.Contains(notes, "The ServiceMonitor asks without TLS and without a password.") {
		t.Errorf("the notes do not tell of the password: %v\n%s", err, notes)
	}
}

// TestRunbooksOfTheChart: every alert links to the runbooks where they can be read.
func TestRunbooksOfTheChart(t *testing.T) {
	t.Parallel()
	const runbooks = "https://git.example.com/wellkey/runbooks.md"
	objects, _, err := render(t, domain+"monitoring: {prometheusRule: {enabled: true, runbooks: "+runbooks+"}}")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, o := range objects {
		if o.kind() != "PrometheusRule" {
			continue
		}
		for _, group := range o.list("spec", "groups") {
			for _, rule := range group.list("rules") {
				name := rule.text("alert")
				if name == "" {
					continue
				}
				alerts++
				if got := rule.text("annotations", "runbook_url"); got != runbooks+"#"+strings.ToLower(name) {
					t.Errorf("%s links to %s", name, got)
				}
			}
		}
	}
	if alerts < 20 {
		t.Errorf("%d alerts were found", alerts)
	}
}

// TestDocumentedMonitor: the example of docs/admin.md goes together.
func TestDocumentedMonitor(t *testing.T) {
	t.Parallel()
	_, example, _ := strings.Cut(deploytest.Read(t, "docs/admin.md"), "```yaml\nsettings: {admin_web_config")
	example, _, found := strings.Cut(example, "```")
	if !found {
		t.Fatal("docs/admin.md has no example")
	}
	e := endpoint(t, domain+"settings: {admin_web_config"+example)
	if e.BasicAuth == nil || e.BasicAuth.Username.Name != "wellkey-scrape" || e.TLSConfig == nil || e.TLSConfig.CA.Secret == nil || *e.TLSConfig.CA.Secret != (selected{"wellkey-roots", "ca.crt"}) {
		t.Errorf("the endpoint is %+v", e)
	}
}

// TestReusedValues: --reuse-values brings the values of a release whose chart did not
// have these yet. Null takes a value away, as if it had never been there.
func TestReusedValues(t *testing.T) {
	t.Parallel()
	const old = domain + "settings: {admin_web_config: /etc/web/web.yml}\nmonitoring: {serviceMonitor: {enabled: true, basicAuth: null, tls: null}, prometheusRule: {enabled: true, runbooks: null}}"
	objects, notes, err := render(t, old)
	if err != nil {
		t.Fatal(err)
	}
	if e := endpoint(t, old); !reflect.DeepEqual(e, monitored{Port: "admin", Path: "/metrics", Interval: "30s"}) {
		t.Errorf("the endpoint is %+v", e)
	}
	all, err := json.Marshal(objects)
	if err != nil || !bytes.Contains(all, []byte(`"runbook_url":"docs/runbooks.md#`)) {
		t.Errorf("the links are not as before (%v)", err)
	}
	if !strings.Contains(notes, "The ServiceMonitor asks without TLS and without a password.") {
		t.Errorf("the notes are\n%s", notes)
	}
}
