package admin

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A family is one gauge of the status.
type family struct {
	name, help string
	labels     []string // sorted, as whoever reads a scrape expects them
}

// Gather implements [prometheus.Gatherer]. What it gives needs none of the checks and
// of the sorting that a registry does for each series, which of 10,000 sites take a
// second: there are only the families of newCollector, each with the labels that are
// named there, and the sites come in order. After a panic it gives what it had until
// then.
func (c *collector) Gather() ([]*dto.MetricFamily, error) {
	out := sink{families: make(map[*family]*dto.MetricFamily), pairs: make(map[pair]*dto.LabelPair)}
	c.panics.Do(func() { c.collect(out) })
	families := make([]*dto.MetricFamily, 0, len(out.families))
	for _, f := range out.families {
		families = append(families, f)
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return families, nil
}

// A sink takes what is collected.
type sink struct {
	families map[*family]*dto.MetricFamily // those with a series
	pairs    map[pair]*dto.LabelPair       // each is in many series
}

// A pair is a label with its value.
type pair struct{ name, value string }

// A series is all that one series needs, to be allocated at once.
type series struct {
	metric dto.Metric
	gauge  dto.Gauge
	value  float64
	labels [mostLabels]*dto.LabelPair
}

// mostLabels is how many labels a family has at most.
const mostLabels = 3

// gauge takes one series. The values of its labels are in the order of f's labels.
func (out sink) gauge(f *family, value float64, values ...string) {
	s := &series{value: value}
	for i, v := range values {
		s.labels[i] = out.label(f.labels[i], v)
	}
	s.gauge.Value, s.metric.Gauge, s.metric.Label = &s.value, &s.gauge, s.labels[:len(values)]
	to := out.families[f]
	if to == nil {
		to = &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: dto.MetricType_GAUGE.Enum()}
		out.families[f] = to
	}
	to.Metric = append(to.Metric, &s.metric)
}

func (out sink) label(name, value string) *dto.LabelPair {
	key := pair{name, value}
	label := out.pairs[key]
	if label == nil {
		label = &dto.LabelPair{Name: &key.name, Value: &key.value}
		out.pairs[key] = label
	}
	return label
}

// at is for moments; one that is not known is left out.
func (out sink) at(f *family, t time.Time, values ...string) {
	if !t.IsZero() {
		out.gauge(f, float64(t.UnixMilli())/1000, values...)
	}
}

// all returns what a scrape gathers: what is in the registry, and the status.
func (a *Admin) all() prometheus.TransactionalGatherer {
	return prometheus.NewMultiTRegistry(prometheus.ToTransactionalGatherer(a.config.Registry), prometheus.ToTransactionalGatherer(a.collector))
}
