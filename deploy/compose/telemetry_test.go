package compose_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What cars send to the telemetry server arrives where it listens, and its
// certificate is where it looks.
func TestTelemetryIsPassedOn(t *testing.T) {
	t.Parallel()
	p := mustLoad(t, "fleet-telemetry.yaml")
	text, err := os.ReadFile(filepath.Join("fleet-telemetry", "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Port    int
		Records map[string][]string
		TLS     struct {
			Cert string `json:"server_cert"`
			Key  string `json:"server_key"`
		}
	}
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if got, want := environment(p.Services["wellkey"])["WELLKEY_PASSTHROUGH"], fmt.Sprintf("telemetry.keys.example.com=fleet-telemetry:%d", config.Port); got != want {
		t.Errorf("passthrough is %q, want %q", got, want)
	}
	if len(config.Records["V"]) == 0 {
		t.Error("nothing is done with the records")
	}
	for _, path := range []string{config.TLS.Cert, config.TLS.Key} {
		if !slices.ContainsFunc(p.Services["fleet-telemetry"].Secrets, func(s secret) bool { return "/run/secrets/"+s.Source == path }) {
			t.Errorf("there is no secret at %s", path)
		}
	}
}
