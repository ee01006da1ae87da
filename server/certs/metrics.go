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
	gauges := acmeGauges{status,
		prometheus.NewDesc("wellkey_acme_issuance_budget_remaining", "How many certificates wellkey may still ask the CA for now, by its own limits.", nil, nil),
		prometheus.NewDesc("wellkey_clock_offset_seconds", "By how much the clock of this host is ahead of that of the CA or of Tesla.", nil, nil)}
	return m, errors.Join(reg.Register(m.attempts), reg.Register(m.failures), reg.Register(gauges), registerTimes(reg, domain, status))
}

// acmeGauges is a collector of what else is in a status; what is not known is
// left out.
type acmeGauges struct {
	status         func() Status
	budget, offset *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (g acmeGauges) Describe(descs chan<- *prometheus.Desc) { descs <- g.budget; descs <- g.offset }

// Collect implements prometheus.Collector.
func (g acmeGauges) Collect(out chan<- prometheus.Metric) {
	s := g.status()
	if s.Budget != nil {
		out <- prometheus.MustNewConstMetric(g.budget, prometheus.GaugeValue, float64(s.Budget.Remaining))
	}
	if s.ClockOffset != nil {
		out <- prometheus.MustNewConstMetric(g.offset, prometheus.GaugeValue, *s.ClockOffset)
	}
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
