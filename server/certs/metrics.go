package certs

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wellkey/internal/contain"
)

// metrics counts attempts; what the certificate is like is read when scraped.
type metrics struct {
	attempts *prometheus.CounterVec
	failures *prometheus.CounterVec
}

// newMetrics registers all metrics with reg, which may be nil. Authorities are
// those that m has. What says no domain is that of the one that is worst off.
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
	for _, a := range m.cas {
		v.attempts.WithLabelValues(string(a.role))
		for _, row := range explanations() {
			v.failures.WithLabelValues(string(a.role), string(row.reason))
		}
	}
	if reg == nil {
		return v, nil
	}
	gauges := acmeGauges{m,
		prometheus.NewDesc("wellkey_acme_issuance_budget_remaining", "How many certificates wellkey may still ask the authority for now, by its own limits; of several domains, for the one with the fewest.", []string{"authority"}, nil),
		prometheus.NewDesc("wellkey_tls_certificate_authority", "Which authority issued the served certificate: 1 for the one that holds, primary, fallback, or other for one that the settings do not name any more.", []string{"domain", "authority"}, nil),
		prometheus.NewDesc("wellkey_clock_offset_seconds", "By how much the clock of this host is ahead of that of the authority or of Tesla.", nil, nil)}
	return v, errors.Join(reg.Register(m.panics), reg.Register(v.attempts), reg.Register(v.failures), reg.Register(m.panics.Collector(gauges)), registerTimes(reg, m.panics, m.statuses))
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
	budgets := map[Role]int{}
	for domain := range g.m.all {
		for _, a := range domain.authorities {
			left, known := a.budgetLeft()
			if fewest, ok := budgets[a.role]; known && (!ok || left < fewest) {
				budgets[a.role] = left
			}
		}
		served := domain.servedBy()
		for _, role := range roles() {
			holds := 0.0
			if served == role {
				holds = 1
			}
			gauge(g.role, holds, domain.domain, string(role))
		}
	}
	for role, left := range budgets {
		gauge(g.budget, float64(left), string(role))
	}
	if offset, known := g.m.clockOffset(); known {
		gauge(g.offset, offset.Seconds())
	}
}

// times is a collector of the moments in the status of each domain; those that are
// not known are left out.
type times struct {
	statuses func(yield func(domain string, s Status) bool)
	descs    []*prometheus.Desc
	next     *prometheus.Desc
}

func registerTimes(reg prometheus.Registerer, panics *contain.Part, statuses func(yield func(string, Status) bool)) error {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"domain"}, nil)
	}
	return reg.Register(panics.Collector(times{statuses, []*prometheus.Desc{
		desc("wellkey_tls_certificate_not_before_timestamp_seconds", "When the served certificate became valid."),
		desc("wellkey_tls_certificate_not_after_timestamp_seconds", "When the served certificate expires."),
		desc("wellkey_tls_certificate_renewal_timestamp_seconds", "When the served certificate is planned to be renewed."),
	}, prometheus.NewDesc("wellkey_acme_next_attempt_timestamp_seconds", "When the certificate is looked at again: the next attempt after a failure; of several, the first.", nil, nil)}))
}

// Describe implements prometheus.Collector.
func (t times) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range append(t.descs, t.next) {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (t times) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, at time.Time, labels ...string) {
		if !at.IsZero() {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(at.Unix()), labels...)
		}
	}
	var next time.Time
	for domain, s := range t.statuses {
		for i, at := range []time.Time{s.NotBefore, s.NotAfter, s.Renewal} {
			gauge(t.descs[i], at, domain)
		}
		if next.IsZero() || !s.NextAttempt.IsZero() && s.NextAttempt.Before(next) {
			next = s.NextAttempt
		}
	}
	gauge(t.next, next)
}
