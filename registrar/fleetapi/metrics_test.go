package fleetapi_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"wellkey/registrar/fleetapi"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	with := func(c *fleetapi.Config) { c.Registerer = reg }
	f := &fake{partner: always(422, `{"error":"Validation failed: Domain has already been taken"}`)}
	first := newClient(t, f, with)
	before, err := testutil.GatherAndCount(reg)
	if err != nil {
		t.Fatal(err)
	}
	second := newClient(t, f, with) // another site
	for range 2 {
		_ = do(t, first, fleetapi.OpRegister, fleetapi.EU)
	}
	_ = do(t, second, fleetapi.OpRegister, fleetapi.EU)
	_ = do(t, newClient(t, on(fleetapi.OpToken, always(999, "")), with), fleetapi.OpToken, fleetapi.NA)
	f.partner = always(0, "")
	_ = do(t, second, fleetapi.OpPublicKey, fleetapi.CN)

	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v", problems, err)
	}
	after, err := testutil.GatherAndCount(reg)
	if err != nil || after != before {
		t.Errorf("got %d series, %v, want the %d of the start", after, err, before)
	}
	for _, line := range []string{
		`wellkey_tesla_api_requests_total{code="2xx",operation="token",region="eu"} 2`,
		`wellkey_tesla_api_requests_total{code="4xx",operation="register",region="eu"} 3`,
		`wellkey_tesla_api_requests_total{code="error",operation="token",region="na"} 1`,
		`wellkey_tesla_api_requests_total{code="5xx",operation="public_key",region="cn"} 0`,
		`wellkey_tesla_api_failures_total{reason="domain_taken",region="eu"} 3`,
		`wellkey_tesla_api_failures_total{reason="key_taken",region="eu"} 0`,
		`wellkey_tesla_api_request_duration_seconds_count{operation="register"} 3`,
	} {
		if text := metricsText(t, reg); !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s in\n%s", line, text)
		}
	}
}

func TestMetricsRefuseAForeignCollector(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "wellkey_tesla_api_requests_total", Help: "another"}))
	_, err := fleetapi.New(fleetapi.Config{Credentials: fleetapi.Credentials{ClientID: "a", ClientSecret: aSecret}, Registerer: reg})
	if err == nil || !strings.HasPrefix(err.Error(), "registering metrics: ") {
		t.Errorf("got %v", err)
	}
}
