// Package testprometheus runs a real Prometheus (Debian's package prometheus) on
// loopback, so that rules and dashboards are tried on what wellkey really exports.
package testprometheus

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"wellkey/internal/testhost"
)

// Interval is how often everything is scraped and every rule evaluated.
const Interval = time.Second

// A Scrape is what is scraped under one job name: what stands in scrape_configs.
type Scrape map[string]any

// Targets returns the scrape of addresses under the job "wellkey".
func Targets(addresses ...string) Scrape {
	return Scrape{"job_name": "wellkey", "static_configs": []any{map[string]any{"targets": addresses}}}
}

// A Server is a Prometheus that runs until the end of the test.
type Server struct {
	t    testing.TB
	base string
}

// Start starts a Prometheus with the rules in the given files and waits until it
// answers. That it is missing fails the test.
func Start(t testing.TB, rules []string, scrapes ...Scrape) *Server {
	t.Helper()
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatalf("finding Prometheus: %v; install Debian's package prometheus (.ci/need prometheus)", err)
	}
	dir := t.TempDir()
	config, err := yaml.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": Interval.String(), "scrape_timeout": Interval.String(), "evaluation_interval": Interval.String()},
		"rule_files":     rules,
		"scrape_configs": scrapes,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	addr, err := testhost.Addr()
	if err != nil {
		t.Fatal(err)
	}
	var said output
	cmd := exec.Command(path, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is told to end
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("Prometheus said: %s", said.String())
		}
	})
	s := &Server{t: t, base: "http://" + addr}
	s.Await("Prometheus", func() bool {
		select {
		case <-ended:
			t.Fatalf("Prometheus ended: %s", said.String())
		default:
		}
		_, err := s.get("/-/ready", nil)
		return err == nil
	})
	return s
}

// patience is how long something may take that must come.
const patience = 3 * time.Minute

// Await calls look until it returns true, and fails the test if it never does.
func (s *Server) Await(what string, look func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(Interval / 5)
	defer tick.Stop()
	for !look() {
		select {
		case <-ctx.Done():
			s.t.Fatalf("%s did not come within %v", what, patience)
		case <-tick.C:
		}
	}
}

// A Sample is one element of an instant vector.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query returns what an expression gives now; the error is Prometheus's own, such
// as that of its parser.
func (s *Server) Query(expr string) ([]Sample, error) {
	body, err := s.get("/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	if answer.Data.ResultType == "scalar" {
		return []Sample{{}}, nil
	}
	var vector []struct {
		Metric map[string]string
		Value  [2]any // the time, and the value as text
	}
	if err := json.Unmarshal(answer.Data.Result, &vector); err != nil {
		return nil, fmt.Errorf("reading a %s: %w", answer.Data.ResultType, err)
	}
	var samples []Sample
	for _, v := range vector {
		text, _ := v.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		samples = append(samples, Sample{v.Metric, value})
	}
	return samples, nil
}

// An Alert is one that is pending or fires.
type Alert struct {
	Labels, Annotations map[string]string
	State               string
}

// Firing returns the alerts that fire.
func (s *Server) Firing() []Alert {
	s.t.Helper()
	body, err := s.get("/api/v1/alerts", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var answer struct{ Data struct{ Alerts []Alert } }
	if err := json.Unmarshal(body, &answer); err != nil {
		s.t.Fatal(err)
	}
	var firing []Alert
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			firing = append(firing, a)
		}
	}
	return firing
}

// get returns the body of an answer with status 200.
func (s *Server) get(path string, query url.Values) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(s.base + path + "?" + query.Encode())
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}

// An output keeps what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
