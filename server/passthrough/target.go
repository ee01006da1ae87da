package passthrough

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"wellkey/internal/phrase"
	"wellkey/server/places"
	"wellkey/server/trouble"
)

// Why a connection was not passed on, or cut: the values of the label reason.
const (
	reasonRefused     = "refused"
	reasonUnknownName = "unknown_name"
	reasonUnreachable = "unreachable"
	reasonOther       = "other"
	reasonIdle        = "idle"
	reasonAddress     = "address" // places.Client, as it was called first
)

var reasons = []string{reasonRefused, reasonUnknownName, reasonUnreachable, reasonOther, reasonIdle, reasonAddress, places.Total, places.Stopping}

// A Target is where the connections for one name go.
type Target struct {
	Route
	open     atomic.Int64
	total    atomic.Uint64
	in, out  atomic.Uint64 // bytes from and to the client
	failures *prometheus.CounterVec
	record   trouble.Record
}

// A Status is how the connections for one name stand.
type Status struct {
	Name, Target string
	Open         int64
	Total        uint64          // since the start
	Trouble      trouble.Trouble // zero while the target can be reached, as far as known
}

// Status returns how all names stand, in the order in which they are tried.
func (p *Passthrough) Status() []Status {
	var all []Status
	for _, t := range p.targets {
		all = append(all, Status{t.Name, t.Target, t.open.Load(), t.total.Load(), t.record.Now()})
	}
	return all
}

func (t *Target) failed(reason string) {
	if reason == places.Client {
		reason = reasonAddress
	}
	t.failures.WithLabelValues(t.Name, reason).Inc()
}

// diagnose says why a target could not be reached, and what to do.
func diagnose(err error) (reason, cause, fix string) {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return reasonUnknownName, "nobody knows the name of the target here", "Write the name of the server's service, and put both containers into one network; or write its IP address"
	case errors.Is(err, syscall.ECONNREFUSED):
		return reasonRefused, "nothing listens there: the server does not run, or listens on another port", "Start it, or correct passthrough. Inside a container localhost is that container alone"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return reasonUnreachable, "the address does not answer at all", "Check the address, and firewalls between the two"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return reasonOther, "too many files are open here, so no connection can be made; the target is not to blame", "Raise LimitNOFILE or ulimit -n; for the whole machine, fs.file-max"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return reasonOther, "this machine has no free port for one more connection to that address; the target is not to blame", "Widen net.ipv4.ip_local_port_range, or look why so many connections are open"
	}
	return reasonOther, "no usual one, so what was said is all that is known", "Look into the log of the server behind it"
}

// Look tries once whether a target can be reached, for whoever passes nothing on. It
// waits as long as a connection that is passed on would.
func Look(ctx context.Context, target string) (found trouble.Trouble, ok bool) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		_, cause, fix := diagnose(err)
		return trouble.Trouble{Error: phrase.Quote(err.Error(), 200), Cause: cause, Fix: fix}, false
	}
	_ = conn.Close() // nothing was said
	return trouble.Trouble{}, true
}

// report counts and logs that t could not be reached.
func (p *Passthrough) report(t *Target, began time.Time, err error) {
	if p.places.Context().Err() != nil {
		t.failed(places.Stopping)
		return
	}
	reason, cause, fix := diagnose(err)
	t.failed(reason)
	said := phrase.Quote(err.Error(), 200)
	if t.record.Failed(began, said, cause, fix) && t.record.Tell(reason) {
		p.logger.Warn("a server behind passthrough cannot be reached, so connections for its name are closed", zap.String("name", t.Name), zap.String("target", t.Target),
			zap.String("cause", cause), zap.String("fix", fix), zap.String("error", said))
	}
}

// recovered notes that t was reached.
func (p *Passthrough) recovered(t *Target) {
	if t.record.Answered() {
		p.logger.Info("a server behind passthrough can be reached again", zap.String("name", t.Name), zap.String("target", t.Target))
	}
}

// register makes the metrics. Their labels come from the settings only.
func (p *Passthrough) register(registerer prometheus.Registerer) error {
	failures := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "wellkey_passthrough_failures_total",
		Help: "Connections that were not passed on, or cut, by the name of the setting and the reason.",
	}, []string{"name", "reason"})
	collectors := []prometheus.Collector{failures}
	for _, t := range p.targets {
		t.failures = failures
		for _, reason := range reasons {
			failures.WithLabelValues(t.Name, reason)
		}
		labels := prometheus.Labels{"name": t.Name}
		collectors = append(collectors,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "wellkey_passthrough_open_connections", ConstLabels: labels,
				Help: "Open connections that are passed on, by the name of the setting.",
			}, func() float64 { return float64(t.open.Load()) }),
			prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "wellkey_passthrough_connections_total", ConstLabels: labels,
				Help: "Connections that were passed on, or for which the target was tried.",
			}, func() float64 { return float64(t.total.Load()) }),
			bytesCollector(t.Name, "in", &t.in), bytesCollector(t.Name, "out", &t.out),
		)
	}
	if registerer == nil {
		return nil
	}
	for _, c := range collectors {
		if err := registerer.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func bytesCollector(name, direction string, count *atomic.Uint64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "wellkey_passthrough_bytes_total", ConstLabels: prometheus.Labels{"name": name, "direction": direction},
		Help: "Bytes that were passed on from clients (in) and to them (out); of a long connection they are counted every 15 minutes, and at its end.",
	}, func() float64 { return float64(count.Load()) })
}
