package admin_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/admin"
	"wellkey/registrar"
)

// broken is a registrar that panics.
type broken struct{}

func (broken) Snapshot() registrar.Snapshot { panic("Canary7f3a") }

// TestPanicCostsOneAnswer: a page that panics is cut, and a scrape lacks
// what panicked, and counts it.
func TestPanicCostsOneAnswer(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	a, err := admin.New(admin.Config{
		Addr: "127.0.0.1:0", Registry: prometheus.NewRegistry(), Registrar: broken{}, Server: newWorld(t), Logger: zap.New(core),
		Site: func(string) (admin.Site, bool) { return admin.Site{}, false }, Stopping: func() bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a.Handler())
	defer s.Close()
	get := func(path string) (string, error) {
		resp, err := s.Client().Get(s.URL + path)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
	if body, err := get("/status"); err == nil {
		t.Errorf("the status is %q, want none", body)
	}
	if _, err := get("/metrics"); err != nil {
		t.Error(err)
	}
	body, err := get("/metrics")
	if err != nil || !regexp.MustCompile(`(?m)^wellkey_panics_total\{part="admin"\} [23]$`).MatchString(body) {
		t.Errorf("got %v, %s", err, body)
	}
	for _, line := range logs.All() {
		if strings.Contains(fmt.Sprint(line.ContextMap()), "Canary7f3a") {
			t.Errorf("the log has the words of the panic: %v", line)
		}
	}
}
