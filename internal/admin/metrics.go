package admin

import (
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/reach"
)

// A collector makes metrics of the status at the moment of a scrape, so they
// never lag behind it. Its labels are the configured domains and regions, and
// closed sets. What is not known (yet) is absent, since neither 0 nor 1 would be
// true; series of closed sets are there from the start.
type collector struct {
	status  func() Status
	reloads func() []Reload // nil = none
	all     []*metric

	build, ready, key, keyGood, served                     *metric
	reloadGood, reloadAt                                   *metric
	probe, probeGood, probeVerdict, probeDuration          *metric
	probeTime, probeNext                                   *metric
	registration, match, answered, registered, since, next *metric
}

// A metric is one gauge with its labels.
type metric struct {
	*prometheus.Desc
	name, help string
	labels     []string // sorted, as the library has them
}

func newCollector(status func() Status, reloads func() []Reload) *collector {
	c := &collector{status: status, reloads: reloads}
	desc := func(name, help string, labels ...string) *metric {
		m := &metric{prometheus.NewDesc("wellkey_"+name, help, labels, nil), "wellkey_" + name, help, labels}
		c.all = append(c.all, m)
		return m
	}
	c.build = desc("build_info", "Version of wellkey and of Go; always 1.", "go_version", "version")
	c.ready = desc("ready", "Whether the key can be served: 1 or 0.")
	c.key = desc("key_info", "The key that is hosted, by fingerprint and origin; always 1.", "domain", "fingerprint", "origin")
	c.keyGood = desc("key_file_good", "Whether the key file is as good as the key that is served: 0 after a bad change, and while there is no key.", "domain")
	c.served = desc("tls_certificate_served", "Whether there is a certificate to serve, in date or not: 1 or 0; absent where a proxy in front ends TLS.", "domain")
	c.reloadGood = desc("config_last_reload_successful", "Whether the files of a part are good as they are now: 1, or 0 while the last good state is in use instead.", "part")
	c.reloadAt = desc("config_last_reload_success_timestamp_seconds", "When the files of a part were last read anew and good: at the start, after a change, or on SIGHUP.", "part")
	c.probe = desc("probe_success", "Whether the key could be fetched from outside, by who looked: 1 or 0; absent while not known, and of loop while its verdict is inconclusive, see wellkey_probe_verdict.", "domain", "vantage")
	c.probeGood = desc("probe_last_success_timestamp_seconds", "When we were last found from outside, by who looked: loop is wellkey itself, acme the validation of the certificate authority, tesla an accepted registration.", "domain", "vantage")
	c.probeVerdict = desc("probe_verdict", "Verdict of our own last look from outside: 1 for the one that holds, none before the first look.", "domain", "verdict")
	c.probeDuration = desc("probe_duration_seconds", "How long our own last look from outside took.", "domain", "vantage")
	c.probeTime = desc("probe_last_run_timestamp_seconds", "When our own last look from outside began.", "domain", "vantage")
	c.probeNext = desc("probe_next_run_timestamp_seconds", "When our own next look from outside is planned.", "domain", "vantage")
	c.registration = desc("registration_status", "State of the registration: 1 for the one that holds.", "domain", "region", "state")
	c.match = desc("registration_key_match", "Whether Tesla's last answer was the key that is hosted: 1 or 0.", "domain", "region")
	c.answered = desc("registration_last_answer_timestamp_seconds", "When Tesla last said which key it has.", "domain", "region")
	c.registered = desc("registration_last_success_timestamp_seconds", "When a registration of our own was last accepted and read back.", "domain", "region")
	c.since = desc("registration_state_since_timestamp_seconds", "When the present state of the registration began, in this process.", "domain", "region")
	c.next = desc("registration_next_step_timestamp_seconds", "When the registrar comes back to the registration; absent while it waits for a change.", "domain", "region")
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.all {
		out <- m.Desc
	}
}

// A sink takes what is collected: for a registry, or as text, which is of one metric
// after the other.
type sink struct {
	metrics chan<- prometheus.Metric // nil = as text
	text    *text
	only    *metric // of text
}

func (out sink) gauge(m *metric, value float64, labels ...string) {
	if out.metrics != nil {
		out.metrics <- prometheus.MustNewConstMetric(m.Desc, prometheus.GaugeValue, value, slices.Clone(labels)...)
	} else if m == out.only {
		out.text.sample(m, value, labels)
	}
}

// at is for moments; one that is not known is left out.
func (out sink) at(m *metric, t time.Time, labels ...string) {
	if !t.IsZero() {
		out.gauge(m, float64(t.UnixMilli())/1000, labels...)
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	out, s := sink{metrics: metrics}, c.status()
	c.collectProcess(out, &s)
	for i := range s.Sites {
		for _, part := range c.parts() {
			part.collect(out, &s.Sites[i])
		}
	}
}

// A part is some metrics of a site, and what collects all of them.
type part struct {
	metrics []*metric
	collect func(sink, *SiteView)
}

func (c *collector) parts() []part {
	return []part{
		{[]*metric{c.key, c.keyGood, c.served}, c.collectKey},
		{[]*metric{c.probeVerdict, c.probeDuration, c.probeTime, c.probeNext, c.probe, c.probeGood}, c.collectProbes},
		{[]*metric{c.registration, c.match, c.answered, c.registered, c.since, c.next}, c.collectRegistrations},
	}
}

// write writes the same as text. It goes through all sites for each metric: that costs
// less than to keep, and to sort, what one time through them would give.
func (c *collector) write(t *text) {
	s := c.status()
	for _, m := range []*metric{c.build, c.ready, c.reloadGood, c.reloadAt} {
		t.begin()
		c.collectProcess(sink{text: t, only: m}, &s)
	}
	for _, part := range c.parts() {
		for _, m := range part.metrics {
			t.begin()
			out := sink{text: t, only: m}
			for i := range s.Sites {
				part.collect(out, &s.Sites[i])
			}
		}
	}
}

func (c *collector) collectProcess(out sink, s *Status) {
	out.gauge(c.build, 1, runtime.Version(), s.Version)
	out.gauge(c.ready, one(s.Ready))
	if c.reloads == nil {
		return
	}
	for _, r := range c.reloads() {
		out.gauge(c.reloadGood, one(r.Good), r.Part)
		out.at(c.reloadAt, r.At, r.Part)
	}
}

func (c *collector) collectKey(out sink, site *SiteView) {
	if site.Key.Fingerprint != "" {
		out.gauge(c.key, 1, site.Domain, site.Key.Fingerprint, site.Key.Origin)
	}
	out.gauge(c.keyGood, one(site.Key.LastBadChange == "" && site.Key.Origin != string(keystore.OriginNone)), site.Domain)
	if site.Certificate.Source != "off" {
		out.gauge(c.served, one(site.Certificate.Have), site.Domain)
	}
}

func (c *collector) collectProbes(out sink, site *SiteView) {
	for _, v := range reach.Verdicts() {
		out.gauge(c.probeVerdict, one(site.Reachability != nil && site.Reachability.Verdict == v), site.Domain, string(v))
	}
	if l := site.Reachability; l != nil {
		out.gauge(c.probeDuration, l.Duration, site.Domain, vantageLoop)
		out.at(c.probeTime, l.At, site.Domain, vantageLoop)
		out.at(c.probeNext, l.Next, site.Domain, vantageLoop)
	}
	for _, e := range evidenceOf(*site) {
		if e.known {
			out.gauge(c.probe, one(e.good), site.Domain, e.vantage)
		}
		out.at(c.probeGood, e.last, site.Domain, e.vantage)
	}
}

func (c *collector) collectRegistrations(out sink, site *SiteView) {
	for i := range site.Registrations {
		c.collectRegistration(out, site, &site.Registrations[i])
	}
}

func (c *collector) collectRegistration(out sink, site *SiteView, r *Registration) {
	region := string(r.Region)
	for _, state := range registrar.States() {
		out.gauge(c.registration, one(r.State == state), site.Domain, region, string(state))
	}
	out.gauge(c.match, one(r.RegisteredFingerprint != "" && r.RegisteredFingerprint == site.Key.Fingerprint), site.Domain, region)
	out.at(c.answered, r.AnsweredAt, site.Domain, region)
	out.at(c.registered, r.RegisteredAt, site.Domain, region)
	out.at(c.since, r.Since, site.Domain, region)
	out.at(c.next, r.Next, site.Domain, region)
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
