package storage

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	writable    prometheus.Gauge
	quarantined *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		writable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wellkey_storage_writable",
			Help: "Whether the last write to the data directory succeeded.",
		}),
		quarantined: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_storage_quarantined_total",
			Help: "Damaged items moved to quarantine.",
		}, []string{"kind"}),
	}
	for _, kind := range kinds {
		m.quarantined.WithLabelValues(string(kind))
	}
	if registerer != nil {
		registerer.MustRegister(m.writable, m.quarantined)
	}
	return m
}

// failed notes that a write ended in err, unless its caller just gave up, or was
// refused.
func (m *metrics) failed(err error) {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrLockLost) {
		m.writable.Set(0)
	}
}
