package prometheus_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"

	"wellkey/deploy/deploytest"
	"wellkey/internal/testprometheus"
)

// job returns the job of prometheus.yml, with what is commented out in it if
// whole, and with other values for some of its lines.
func job(t *testing.T, whole bool, values map[string]string) testprometheus.Scrape {
	t.Helper()
	text := string(deploytest.ReadFile(t, "prometheus.yml"))
	if whole {
		text = strings.NewReplacer("    # scheme", "    scheme", "    # tls_config", "    tls_config", "    #   ca_file", "      ca_file",
			"    # basic_auth", "    basic_auth", "    #   username", "      username", "    #   password_file", "      password_file").Replace(text)
	}
	for was, is := range values {
		if !strings.Contains(text, was) {
			t.Fatalf("prometheus.yml has no %s", was)
		}
		text = strings.ReplaceAll(text, was, is)
	}
	var config struct {
		ScrapeConfigs []testprometheus.Scrape `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(text), &config); err != nil || len(config.ScrapeConfigs) != 1 {
		t.Fatalf("prometheus.yml: %v, %d jobs", err, len(config.ScrapeConfigs))
	}
	return config.ScrapeConfigs[0]
}

// TestScrapeConfig has a real Prometheus scrape by the example, without and with a
// web configuration, and not with a wrong password.
func TestScrapeConfig(t *testing.T) {
	t.Parallel()
	const password = "correct horse battery staple"
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	open, guarded := newWorld(t, withFiles), newWorld(t, withFiles)
	file := func(name, text string) string {
		path := filepath.Join(guarded.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// Prometheus goes by the name of the target, so the certificate has to have it.
	web := file("web.yml", fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\nbasic_auth_users:\n  prometheus: %s\n",
		guarded.CertFile, guarded.CertKeyFile, hash))
	open.serve()
	guarded.serve("ADMIN_WEB_CONFIG=" + web)

	with := func(name, password string) testprometheus.Scrape {
		s := job(t, true, map[string]string{
			"127.0.0.1:9090":                   guarded.AdminAddr,
			"/etc/prometheus/wellkey-ca.pem":   file("ca.pem", string(guarded.RootsPEM())) + "\n      server_name: " + guarded.Domain,
			"/etc/prometheus/wellkey-password": file(name, password),
		})
		s["job_name"] = name
		return s
	}
	p := testprometheus.Start(t, nil, job(t, false, map[string]string{"127.0.0.1:9090": open.AdminAddr}), with("right", password), with("wrong", password+"x"))
	for expr, value := range map[string]float64{
		`up{job="wellkey"}`: 1, `up{job="right"}`: 1, `up{job="wrong"}`: 0,
		`wellkey_ready{job="wellkey"}`: 1, `wellkey_config_last_reload_successful{job="right",part="admin_web"}`: 1,
	} {
		p.Await(expr, func() bool {
			samples, err := p.Query(expr)
			if err != nil {
				t.Fatal(err)
			}
			return len(samples) == 1 && samples[0].Value == value
		})
	}
}
