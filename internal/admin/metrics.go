package admin

import (
	"runtime"

	"wellkey/internal/contain"
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
	panics  *contain.Part

	build, ready, key, keyGood, served                     *family
	reloadGood, reloadAt                                   *family
	probe, probeGood, probeVerdict, probeFinding           *family
	probeDuration, probeTime, probeNext                    *family
	registration, match, answered, registered, since, next *family
}

func newCollector(status func() Status, reloads func() []Reload, panics *contain.Part) *collector {
	c := &collector{status: status, reloads: reloads, panics: panics}
	gauge := func(name, help string, labels ...string) *family { return &family{"wellkey_" + name, help, labels} }
	c.build = gauge("build_info", "Version of wellkey and of Go; always 1.", "go_version", "version")
	c.ready = gauge("ready", "Whether the key can be served: 1 or 0.")
	c.key = gauge("key_info", "The key that is hosted, by fingerprint and origin; always 1.", "domain", "fingerprint", "origin")
	c.keyGood = gauge("key_file_good", "Whether the key file is as good as the key that is served: 0 after a bad change, and while there is no key.", "domain")
	c.served = gauge("tls_certificate_served", "Whether there is a certificate to serve, in date or not: 1 or 0; absent where a proxy in front ends TLS.", "domain")
	c.reloadGood = gauge("config_last_reload_successful", "Whether the files of a part are good as they are now: 1, or 0 while the last good state is in use instead.", "part")
	c.reloadAt = gauge("config_last_reload_success_timestamp_seconds", "When the files of a part were last read and good: at the start, after a change, or on SIGHUP.", "part")
	c.probe = gauge("probe_success", "Whether the key could be fetched from outside, by who looked: 1 or 0; absent while not known, and of loop while its verdict is inconclusive, see wellkey_probe_verdict.", "domain", "vantage")
	c.probeGood = gauge("probe_last_success_timestamp_seconds", "When we were last found from outside, by who looked: loop is wellkey itself, acme the validation of the certificate authority, tesla an accepted registration.", "domain", "vantage")
	c.probeVerdict = gauge("probe_verdict", "Verdict of our own last look from outside: 1 for the one that holds, none before the first look.", "domain", "verdict")
	c.probeFinding = gauge("probe_finding", "Why our own last look from outside did not find the key: 1 for the reason that holds, in the words of the log and the status; absent when it did.", "domain", "reason")
	c.probeDuration = gauge("probe_duration_seconds", "How long our own last look from outside took.", "domain", "vantage")
	c.probeTime = gauge("probe_last_run_timestamp_seconds", "When our own last look from outside began.", "domain", "vantage")
	c.probeNext = gauge("probe_next_run_timestamp_seconds", "When our own next look from outside is planned.", "domain", "vantage")
	c.registration = gauge("registration_status", "State of the registration: 1 for the one that holds.", "domain", "region", "state")
	c.match = gauge("registration_key_match", "Whether Tesla's last answer was the key that is hosted: 1 or 0.", "domain", "region")
	c.answered = gauge("registration_last_answer_timestamp_seconds", "When Tesla last said which key it has.", "domain", "region")
	c.registered = gauge("registration_last_success_timestamp_seconds", "When a registration of our own was last accepted and read back.", "domain", "region")
	c.since = gauge("registration_state_since_timestamp_seconds", "When the present state of the registration began, in this process.", "domain", "region")
	c.next = gauge("registration_next_step_timestamp_seconds", "When the registrar comes back to the registration; absent while it waits for a change.", "domain", "region")
	return c
}

func (c *collector) collect(out sink) {
	s := c.status()
	c.collectProcess(out, &s)
	for i := range s.Sites {
		site := &s.Sites[i]
		c.collectKey(out, site)
		c.collectProbes(out, site)
		for i := range site.Registrations {
			c.collectRegistration(out, site, &site.Registrations[i])
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
		if l.Reason != "" {
			out.gauge(c.probeFinding, 1, site.Domain, l.Reason)
		}
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
