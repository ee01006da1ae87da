package admin_test

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// BenchmarkScrape is one scrape of 5000 domains.
func BenchmarkScrape(b *testing.B) {
	var domains []string
	for i := range 5000 {
		domains = append(domains, fmt.Sprintf("keys%d.example.com", i))
	}
	h := newWorld(b, domains...).adminWith(b, prometheus.NewRegistry()).Handler()
	b.ReportAllocs()
	for b.Loop() {
		if resp, body := ask(b, h, "/metrics"); resp.StatusCode != 200 || len(body) < 1<<20 {
			b.Fatalf("%d, %d bytes", resp.StatusCode, len(body))
		}
	}
}
