package server

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wellkey/internal/contain"
)

// Every label comes from one of these closed sets, so that no visitor can add a
// series.

// A route is what a request is counted as.
type route int

const (
	routeKey route = iota
	routeChallenge
	routeRedirect
	routeUpstream
	routeOther
	numRoutes
)

// String returns the label of r.
func (r route) String() string {
	return [numRoutes]string{"key", "challenge", "redirect", "upstream", "other"}[r]
}

// A method is a request method as it is counted.
type method int

const (
	methodGet method = iota
	methodHead
	methodOther
	numMethods
)

// String returns the label of m.
func (m method) String() string { return [numMethods]string{"GET", "HEAD", "other"}[m] }

func methodOf(name string) method {
	switch name {
	case http.MethodGet:
		return methodGet
	case http.MethodHead:
		return methodHead
	default:
		return methodOther
	}
}

// codes are the labels of statuses. What we answer ourselves is counted under its
// own number; a challenge handler may give others, which are "other". Of an
// application's answers the class is counted.
var codes = [...]string{"200", "304", "308", "400", "404", "405", "421", "429", "500", "503", "other", "1xx", "2xx", "3xx", "4xx", "5xx"}

// codeIndex returns the index in codes of a status on a route.
func codeIndex(r route, code int) int {
	if r == routeUpstream && code >= 100 && code < 600 {
		return slices.Index(codes[:], "1xx") + code/100 - 1
	}
	switch code {
	case 200:
		return 0
	case 304:
		return 1
	case 308:
		return 2
	case 400:
		return 3
	case 404:
		return 4
	case 405:
		return 5
	case 421:
		return 6
	case 429:
		return 7
	case 500:
		return 8
	case 503:
		return 9
	}
	return 10
}

// requestCounters are the resolved counters of one listener. They are nil for
// combinations that are not usual, which are looked up when they happen.
type requestCounters [numRoutes][numMethods][len(codes)]prometheus.Counter

// requestDurations are the resolved histograms of one listener, nil for routes
// that are not usual there.
type requestDurations [numRoutes]prometheus.Observer

type metrics struct {
	requests        *prometheus.CounterVec
	handshakeErrors *prometheus.CounterVec
	rejected        *prometheus.CounterVec
	displaced       *prometheus.CounterVec
	turnedAway      *prometheus.CounterVec
	durations       *prometheus.HistogramVec
	panics          *contain.Part
}

// durationBuckets go from an answer out of memory to one that waits for a slow
// client (writeTimeout).
var durationBuckets = []float64{.0001, .0005, .001, .005, .025, .1, .5, 2.5, 10}

// newMetrics returns the metrics of the listeners, registered unless registerer
// is nil.
func newMetrics(registerer prometheus.Registerer, on []*listener, fetched *fetches, panics *contain.Part) (*metrics, error) {
	m := &metrics{
		panics: panics,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_http_requests_total",
			Help: "Requests answered by the public listeners. What is refused before it is a request, such as a malformed one, is not counted.",
		}, []string{"listener", "route", "method", "code"}),
		handshakeErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_tls_handshake_errors_total",
			Help: "TLS handshakes on the HTTPS listener that failed: scanners, clients without the right name, plain HTTP.",
		}, []string{"reason"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_connections_rejected_total",
			Help: "Connections closed before they were served: too many in total or from one address, more a second than one address may open, or without the PROXY header that a trusted proxy must send.",
		}, []string{"listener", "reason"}),
		displaced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_connections_displaced_total",
			Help: "Connections closed in favour of others where too much was held, by what was waited for: a first request (unserved), another one (idle), that an answer is read (stalled, or unread where the client went on asking); or because the client took back all that it asked for (reset).",
		}, []string{"listener", "state"}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "wellkey_http_requests_turned_away_total",
			Help: "Requests of HTTP/2 that were reset unanswered, because too many others waited for their clients to read.",
		}, []string{"listener"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "wellkey_http_request_duration_seconds",
			Help:    "How long the public listeners took from the header of a request to the end of its answer.",
			Buckets: durationBuckets,
		}, []string{"listener", "route"}),
	}
	for _, l := range on {
		m.resolve(l)
		m.turnedAway.WithLabelValues(l.name)
		for _, reason := range []string{overTotal, overAddress, overRate} {
			m.rejected.WithLabelValues(l.name, reason)
		}
		for _, state := range []string{lostFresh, lostIdle, lostStalled, lostUnread, lostReset} {
			m.displaced.WithLabelValues(l.name, state)
		}
		if l.owner.config.ProxyProtocol {
			m.rejected.WithLabelValues(l.name, badHeader)
		}
	}
	for _, reason := range handshakeReasons {
		m.handshakeErrors.WithLabelValues(reason)
	}
	if registerer == nil {
		return m, nil
	}
	collectors := append(fetchCollectors(fetched), m.requests, m.durations, m.handshakeErrors, m.rejected, m.displaced, m.turnedAway, m.panics)
	for _, l := range on {
		collectors = append(collectors, boundCollector(l), openCollector(l))
	}
	for _, c := range collectors {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// resolve makes the series that are usual on l, so that rates exist from the
// start and the hot path looks nothing up.
func (m *metrics) resolve(l *listener) {
	usual := func(r route, by map[method][]int) {
		l.durations[r] = m.durations.WithLabelValues(l.name, r.String())
		for method, list := range by {
			for _, code := range list {
				i := codeIndex(r, code)
				l.counts[r][method][i] = m.requests.WithLabelValues(l.name, r.String(), method.String(), codes[i])
			}
		}
	}
	if l.routes.key != nil {
		usual(routeKey, map[method][]int{methodGet: {200, 304, 400, 503}, methodHead: {200, 304, 400, 503}, methodOther: {400, 405}})
		usual(routeOther, map[method][]int{methodGet: {400, 404}, methodHead: {400, 404}, methodOther: {400, 404}})
	}
	if l.routes.upstream != nil {
		classes := []int{100, 200, 300, 400, 500}
		usual(routeUpstream, map[method][]int{methodGet: classes, methodHead: classes[1:], methodOther: classes[1:]})
	}
	if len(l.owner.trusted) > 0 && l.routes.redirect == nil {
		usual(routeKey, map[method][]int{methodGet: {429}, methodHead: {429}, methodOther: {429}})
	}
	if l.routes.redirect != nil {
		usual(routeRedirect, map[method][]int{methodGet: {308, 400}, methodHead: {308, 400}, methodOther: {400, 405}})
	}
	if l.routes.challenge != nil {
		unknown, refused := 308, 405 // what becomes of a challenge that nobody knows
		if l.routes.redirect == nil {
			unknown, refused = 404, 404
		}
		usual(routeChallenge, map[method][]int{methodGet: {200, 400, unknown}, methodHead: {400, unknown}, methodOther: {400, refused}})
	}
}

// request counts one answer and how long it took.
func (m *metrics) request(l *listener, r route, method method, code int, took time.Duration) {
	if duration := l.durations[r]; duration != nil {
		duration.Observe(took.Seconds())
	} else {
		m.durations.WithLabelValues(l.name, r.String()).Observe(took.Seconds())
	}
	i := codeIndex(r, code)
	if counter := l.counts[r][method][i]; counter != nil {
		counter.Inc()
		return
	}
	m.requests.WithLabelValues(l.name, r.String(), method.String(), codes[i]).Inc()
}

// fetchCollectors read what KeyFetches reads, so that both always agree.
func fetchCollectors(fetched *fetches) []prometheus.Collector {
	var all []prometheus.Collector
	for c := range numClients {
		labels := prometheus.Labels{"client": c.String()}
		all = append(all,
			prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "wellkey_key_fetches_total", ConstLabels: labels,
				Help: "GETs that were given the public key, by what the client says it is.",
			}, func() float64 { return float64(fetched[c].count.Load()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "wellkey_key_last_fetch_timestamp_seconds", ConstLabels: labels,
				Help: "When such a client was last given the public key; 0 for never in this process.",
			}, func() float64 { return float64(fetched[c].last.Load()) / 1e9 }),
		)
	}
	return all
}

func openCollector(l *listener) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wellkey_connections", ConstLabels: prometheus.Labels{"listener": l.name},
		Help: "Open connections.",
	}, func() float64 { return float64(l.open.count()) })
}

func boundCollector(l *listener) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wellkey_listener_bound", ConstLabels: prometheus.Labels{"listener": l.name},
		Help: "1 while the listener has its address, 0 while it waits for it.",
	}, func() float64 {
		if l.Addr() == "" {
			return 0
		}
		return 1
	})
}
