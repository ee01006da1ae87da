package storage

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/contain"
)

// A callName is what is asked of a store: a label of wellkey_storage_calls_total.
type callName string

const (
	callLoad   callName = "load"
	callStore  callName = "store"
	callDelete callName = "delete"
	callList   callName = "list"
	callStat   callName = "stat"
	callLock   callName = "lock"
)

var calls = []callName{callLoad, callStore, callDelete, callList, callStat, callLock}

type metrics struct {
	registerer  prometheus.Registerer // nil = none
	writable    prometheus.Gauge
	quarantined *prometheus.CounterVec
	up          prometheus.Gauge
	calls       *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	lost        prometheus.Counter
	panics      *contain.Part // its log is that of the storage
	copyReads   prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, log *zap.Logger) *metrics {
	if log == nil {
		log = zap.NewNop()
	}
	m := &metrics{
		registerer: registerer,
		panics:     contain.New("storage", log.Named("storage")),
		writable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wellkey_storage_writable",
			Help: "Whether the last write to the storage succeeded.",
		}),
		quarantined: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_storage_quarantined_total",
			Help: "Damaged items moved to quarantine.",
		}, []string{"kind"}),
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "wellkey_storage_up",
			Help: "Whether the last call of the shared store was answered; always 1 for a directory.",
		}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_storage_calls_total",
			Help: "Calls of the storage; a key that is not there is no failure.",
		}, []string{"call", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "wellkey_storage_call_duration_seconds",
			Help:    "How long calls of the storage took; waiting for locks is not among them.",
			Buckets: []float64{.001, .01, .1, 1, 10},
		}, []string{"call"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wellkey_storage_locks_lost_total",
			Help: "Locks that were lost while work went on under them, which ended it.",
		}),
		copyReads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "wellkey_storage_copy_reads_total",
			Help: "Values read from the local copy while the shared store was down.",
		}),
	}
	for _, kind := range kinds {
		m.quarantined.WithLabelValues(string(kind))
	}
	for _, call := range calls {
		m.calls.WithLabelValues(string(call), "ok")
		m.calls.WithLabelValues(string(call), "error")
		if call != callLock {
			m.seconds.WithLabelValues(string(call))
		}
	}
	m.up.Set(1)
	if registerer != nil {
		registerer.MustRegister(m.writable, m.quarantined, m.up, m.calls, m.seconds, m.lost, m.copyReads, m.panics)
	}
	return m
}

// backend says which kind of store this is.
func (m *metrics) backend(kind string) {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "wellkey_storage_info",
		Help:        "Which kind of storage keeps the state; always 1.",
		ConstLabels: prometheus.Labels{"kind": kind},
	})
	info.Set(1)
	if m.registerer != nil {
		m.registerer.MustRegister(info)
	}
}

// called counts a call; a negative duration is not observed.
func (m *metrics) called(call callName, took time.Duration, err error) {
	result := "ok"
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, context.Canceled) {
		result = "error"
	}
	m.calls.WithLabelValues(string(call), result).Inc()
	if took >= 0 {
		m.seconds.WithLabelValues(string(call)).Observe(took.Seconds())
	}
}

// failed notes that a write ended in err, unless its caller just gave up, or was
// refused.
func (m *metrics) failed(err error) {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrLockLost) {
		m.writable.Set(0)
	}
}
