package certs

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts attempts; what the certificate is like is read when scraped.
type metrics struct {
	attempts *prometheus.CounterVec
	failures *prometheus.CounterVec
}

// newMetrics registers all metrics with reg, which may be nil. Authorities are
// those that m has.
func newMetrics(reg prometheus.Registerer, m *Manager) (*metrics, error) {
	v := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_acme_issuance_attempts_total",
			Help: "Attempts to obtain or renew a certificate, by authority: primary or fallback.",
		}, []string{"authority"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_acme_issuance_failures_total",
			Help: "Failed attempts to obtain or renew a certificate, by authority and reason.",
		}, []string{"authority", "reason"}),
	}
	for _, a := range m.authorities {
		v.attempts.WithLabelValues(string(a.role))
		for _, row := range explanations() {
			v.failures.WithLabelValues(string(a.role), string(row.reason))
		}
	}
	if reg == nil {
		return v, nil
	}
	gauges := acmeGauges{m,
		prometheus.NewDesc("wellkey_acme_issuance_budget_remaining", "How many certificates wellkey may still ask the authority for now, by its own limits.", []string{"authority"}, nil),
		prometheus.NewDesc("wellkey_tls_certificate_authority", "Which authority issued the served certificate: 1 for the one that holds, primary, fallback, or other for one that the settings do not name any more.", []string{"domain", "authority"}, nil),
		prometheus.NewDesc("wellkey_clock_offset_seconds", "By how much the clock of this host is ahead of that of the authority or of Tesla.", nil, nil)}
	return v, errors.Join(reg.Register(v.attempts), reg.Register(v.failures), reg.Register(gauges), registerTimes(reg, m.domain, m.Status))
}

// acmeGauges is a collector of what else is in a status; what is not known is
// left out.
type acmeGauges struct {
	m                    *Manager
	budget, role, offset *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (g acmeGauges) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{g.budget, g.role, g.offset} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (g acmeGauges) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	s := g.m.Status()
	for _, a := range g.m.authorities {
		one := a.status()
		if one.Budget != nil {
			gauge(g.budget, float64(one.Budget.Remaining), string(a.role))
		}
	}
	for _, role := range Roles() {
		holds := 0.0
		if s.Have && s.Role == role {
			holds = 1
		}
		gauge(g.role, holds, g.m.domain, string(role))
	}
	if s.ClockOffset != nil {
		gauge(g.offset, *s.ClockOffset)
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
