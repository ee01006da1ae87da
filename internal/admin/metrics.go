package admin

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/reach"
)

// A collector makes metrics of the status at the moment of a scrape, so they
// never lag behind it. Its labels are the configured domains and regions, and
// closed sets.
type collector struct {
	status func() Status

	build, ready, key, keyGood                        *prometheus.Desc
	probe, probeVerdict, probeTime, probeDuration     *prometheus.Desc
	registration, match, answered, registered, nextAt *prometheus.Desc
}

func newCollector(status func() Status) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("wellkey_"+name, help, labels, nil)
	}
	return &collector{
		status:        status,
		build:         desc("build_info", "Version of wellkey and of Go; always 1.", "version", "go_version"),
		ready:         desc("ready", "Whether the key can be served: 1 or 0."),
		key:           desc("key_info", "The key that is hosted, by fingerprint and origin; always 1.", "domain", "fingerprint", "origin"),
		keyGood:       desc("key_file_good", "Whether the key file is as good as the key that is served: 0 after a bad change.", "domain"),
		probe:         desc("probe_success", "Whether the last look from outside found the key: 1 or 0, absent before the first look; an inconclusive look counts as 0, see wellkey_probe_verdict.", "domain"),
		probeVerdict:  desc("probe_verdict", "Verdict of the last look from outside: 1 for the one that holds, none before the first look.", "domain", "verdict"),
		probeTime:     desc("probe_last_timestamp_seconds", "When the last look from outside began.", "domain"),
		probeDuration: desc("probe_duration_seconds", "How long the last look from outside took.", "domain"),
		registration:  desc("registration_status", "State of the registration: 1 for the one that holds.", "domain", "region", "state"),
		match:         desc("registration_key_match", "Whether Tesla's last answer was the key that is hosted: 1 or 0.", "domain", "region"),
		answered:      desc("registration_last_answer_timestamp_seconds", "When Tesla last said which key it has.", "domain", "region"),
		registered:    desc("registration_last_success_timestamp_seconds", "When a registration of our own was last accepted and read back.", "domain", "region"),
		nextAt:        desc("registration_next_step_timestamp_seconds", "When the registrar comes back to the registration.", "domain", "region"),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.build, c.ready, c.key, c.keyGood, c.probe, c.probeVerdict, c.probeTime, c.probeDuration,
		c.registration, c.match, c.answered, c.registered, c.nextAt} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	at := func(d *prometheus.Desc, t time.Time, labels ...string) {
		if !t.IsZero() {
			gauge(d, float64(t.UnixMilli())/1000, labels...)
		}
	}
	s := c.status()
	gauge(c.build, 1, s.Version, runtime.Version())
	gauge(c.ready, one(s.Ready))
	for _, site := range s.Sites {
		if site.Key.Fingerprint != "" {
			gauge(c.key, 1, site.Domain, site.Key.Fingerprint, site.Key.Origin)
		}
		gauge(c.keyGood, one(site.Key.LastBadChange == "" && site.Key.Origin != string(keystore.OriginNone)), site.Domain)
		for _, v := range reach.Verdicts() {
			gauge(c.probeVerdict, one(site.Reachability != nil && site.Reachability.Verdict == v), site.Domain, string(v))
		}
		if l := site.Reachability; l != nil { // before the first look, neither 0 nor 1 would be true
			gauge(c.probe, one(l.Verdict == reach.Reachable), site.Domain)
			at(c.probeTime, l.At, site.Domain)
			gauge(c.probeDuration, l.Duration, site.Domain)
		}
		for _, r := range site.Registrations {
			region := string(r.Region)
			for _, state := range registrar.States() {
				gauge(c.registration, one(r.State == state), site.Domain, region, string(state))
			}
			gauge(c.match, one(r.RegisteredFingerprint != "" && r.RegisteredFingerprint == site.Key.Fingerprint), site.Domain, region)
			at(c.answered, r.AnsweredAt, site.Domain, region)
			at(c.registered, r.RegisteredAt, site.Domain, region)
			at(c.nextAt, r.Next, site.Domain, region)
		}
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
