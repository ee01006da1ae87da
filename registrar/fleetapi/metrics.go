package fleetapi

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count for all clients that share a registerer. All label values come
// from closed sets and exist from the start.
type metrics struct {
	requests *prometheus.CounterVec
	failures *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// classes are the values of the label code: classes of statuses, and "error"
// for requests that got no answer.
var classes = []string{"1xx", "2xx", "3xx", "4xx", "5xx", "error"}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_tesla_api_requests_total",
			Help: "Requests to Tesla by operation, region and class of status (error: no answer).",
		}, []string{"operation", "region", "code"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_tesla_api_failures_total",
			Help: "Requests to Tesla that did not succeed, by region and reason code of the catalogue.",
		}, []string{"region", "reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "wellkey_tesla_api_request_duration_seconds",
			Help:    "How long requests to Tesla took, by operation.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 15, 30}, // the last two are the deadlines
		}, []string{"operation"}),
	}
	if reg != nil {
		var err1, err2, err3 error
		m.requests, err1 = share(reg, m.requests)
		m.failures, err2 = share(reg, m.failures)
		m.duration, err3 = share(reg, m.duration)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, err
		}
	}
	m.zero()
	return m, nil
}

// share registers c, or returns the one that another client registered before:
// every site has a client of its own.
func share[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	err := reg.Register(c)
	var before prometheus.AlreadyRegisteredError
	if errors.As(err, &before) {
		if existing, ok := before.ExistingCollector.(C); ok {
			return existing, nil
		}
	}
	return c, err
}

func (m *metrics) zero() {
	for _, op := range Operations() {
		m.duration.WithLabelValues(string(op))
		for _, r := range Regions() {
			for _, class := range classes {
				m.requests.WithLabelValues(string(op), string(r), class)
			}
		}
	}
	for _, row := range catalogue {
		for _, r := range Regions() {
			m.failures.WithLabelValues(string(r), string(row.Code))
		}
	}
}

func (m *metrics) answered(r request, status int, took time.Duration) {
	class := strconv.Itoa(status/100) + "xx"
	if !slices.Contains(classes, class) {
		class = "error"
	}
	m.requests.WithLabelValues(string(r.op), string(r.region), class).Inc()
	m.duration.WithLabelValues(string(r.op)).Observe(took.Seconds())
}

func (m *metrics) failed(e *Error) {
	m.failures.WithLabelValues(string(e.Region), string(e.Refusal.Code)).Inc()
}
