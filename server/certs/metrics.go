package certs

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts attempts; what the certificate is like is read when scraped.
type metrics struct {
	attempts prometheus.Counter
	failures *prometheus.CounterVec
}

// newMetrics registers all metrics with reg, which may be nil.
func newMetrics(reg prometheus.Registerer, domain string, status func() Status) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wellkey_acme_issuance_attempts_total",
			Help: "Attempts to obtain or renew a certificate.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_acme_issuance_failures_total",
			Help: "Failed attempts to obtain or renew a certificate, by reason.",
		}, []string{"reason"}),
	}
	for _, row := range explanations() {
		m.failures.WithLabelValues(string(row.reason))
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.attempts), reg.Register(m.failures), registerTimes(reg, domain, status))
}

// times is a collector of the moments in a status; those that are not known are
// left out.
type times struct {
	status func() Status
	descs  []*prometheus.Desc
}

func registerTimes(reg prometheus.Registerer, domain string, status func() Status) error {
	desc := func(name, help string, labels prometheus.Labels) *prometheus.Desc {
		return prometheus.NewDesc(name, help, nil, labels)
	}
	of := prometheus.Labels{"domain": domain}
	return reg.Register(times{status, []*prometheus.Desc{
		desc("wellkey_tls_certificate_not_before_timestamp_seconds", "When the served certificate became valid.", of),
		desc("wellkey_tls_certificate_not_after_timestamp_seconds", "When the served certificate expires.", of),
		desc("wellkey_tls_certificate_renewal_timestamp_seconds", "When the served certificate is planned to be renewed.", of),
		desc("wellkey_acme_next_attempt_timestamp_seconds", "When the certificate is looked at again: the next attempt after a failure.", nil),
	}})
}

// Describe implements prometheus.Collector.
func (t times) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range t.descs {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (t times) Collect(out chan<- prometheus.Metric) {
	s := t.status()
	for i, at := range []time.Time{s.NotBefore, s.NotAfter, s.Renewal, s.NextAttempt} {
		if !at.IsZero() {
			out <- prometheus.MustNewConstMetric(t.descs[i], prometheus.GaugeValue, float64(at.Unix()))
		}
	}
}
