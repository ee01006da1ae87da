package upstream

import (
	"github.com/prometheus/client_golang/prometheus"

	"wellkey/server/places"
)

type metrics struct {
	errors   *prometheus.CounterVec
	rejected *prometheus.CounterVec
	duration prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer, open *places.Places) (*metrics, error) {
	m := &metrics{
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_upstream_errors_total",
			Help: "Requests that the application behind upstream did not answer, or not to the end, by reason.",
		}, []string{"reason"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_upstream_rejected_total",
			Help: "Requests that were not passed on to the application behind upstream, since too many were with it, of one client or in total.",
		}, []string{"reason"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "wellkey_upstream_answer_seconds",
			Help:    "How long the application behind upstream took until its answer began.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
	}
	for _, reason := range reasons {
		m.errors.WithLabelValues(reason)
	}
	for _, reason := range []string{places.Total, places.Client} {
		m.rejected.WithLabelValues(reason)
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.errors, m.rejected, m.duration, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wellkey_upstream_requests",
		Help: "Requests and websockets that are with the application behind upstream now.",
	}, func() float64 { return float64(open.Count()) })} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
