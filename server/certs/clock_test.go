package certs_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

func TestNoOrderByAWrongClock(t *testing.T) {
	t.Parallel()
	const day, caLifetime = 24 * time.Hour, 90 * 24 * time.Hour
	for name, test := range map[string]struct {
		ca, tesla time.Duration // by which our clock is ahead
		known     bool          // Tesla's
		offset    time.Duration // that is told; at least, where the CA's own certificate is not valid by our clock
		orders    int
	}{
		"good":               {0, 0, true, 0, 1},
		"a little fast":      {4 * time.Minute, 0, false, 4 * time.Minute, 1},
		"fast":               {6 * time.Minute, 0, false, 6 * time.Minute, 0},
		"a year ahead":       {365 * day, 0, false, 365*day - caLifetime, 0},
		"ten years behind":   {-3650 * day, 0, false, -3650*day + time.Hour, 0}, // its certificate begins an hour ago
		"Tesla disagrees":    {0, 10 * time.Minute, true, 10 * time.Minute, 0},
		"Tesla is not known": {0, 10 * time.Minute, false, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wrong atomic.Int64
			wrong.Store(int64(test.ca))
			r := newRig(t, "clock-"+strings.ReplaceAll(strings.ToLower(name), " ", "-")+".test", testca.Config{})
			cfg := r.config(t)
			cfg.Now = func() time.Time { return r.now().Add(time.Duration(wrong.Load())) }
			cfg.ClockOffset = func() (time.Duration, bool) { return test.tesla, test.known && wrong.Load() != 1 }
			registry := prometheus.NewRegistry()
			cfg.Registerer = registry
			m := r.start(t, cfg)
			d := m.settle(t)
			if n := r.ca.Orders(); n != test.orders || (reasonOf(m) == certs.ReasonClock) != (n == 0) {
				t.Fatalf("got %d orders and %+v, want %d", n, m.Status().LastError, test.orders)
			}
			for what, offset := range map[string]*float64{"status": m.Status().ClockOffset, "metric": gauge(t, registry, "wellkey_clock_offset_seconds")} {
				if offset == nil {
					t.Errorf("%s: the offset is not known", what)
				} else if got := time.Duration(*offset * float64(time.Second)); (got - test.offset).Abs() > time.Minute {
					t.Errorf("%s: got an offset of %v, want %v", what, got, test.offset)
				}
			}
			if test.orders == 1 {
				return
			}
			wrong.Store(1) // right again, and Tesla agrees
			if d > 10*time.Minute {
				t.Errorf("got a wait of %v, want ten minutes at most", d)
			}
			m.again(t)
			r.leaf(t, m, r.now())
			if b := m.Status().Budget; b.Remaining != 1 {
				t.Errorf("got budget %+v", b)
			}
		})
	}
}

// gauge returns the value of a metric without labels, nil where it is left out.
func gauge(t *testing.T, registry *prometheus.Registry, name string) *float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().Value
		}
	}
	return nil
}

// TestWrongClockWithACertificate: what is stored is served by any clock, and
// nothing is ordered until the clock is right.
func TestWrongClockWithACertificate(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"ten years behind": -10 * 365 * 24 * time.Hour, "a year ahead": 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "stored-clock-"+strings.ReplaceAll(name, " ", "-")+".test", testca.Config{})
			r.start(t, r.config(t)).settleAndStop(t)
			var wrong atomic.Int64
			wrong.Store(int64(ahead))
			cfg := r.config(t)
			cfg.Now = func() time.Time { return r.now().Add(time.Duration(wrong.Load())) }
			r.relisten(t)
			m := r.start(t, cfg)
			m.settle(t)
			for range 3 {
				r.leaf(t, m, time.Now())
				m.again(t)
			}
			wrong.Store(0)
			m.again(t)
			r.leaf(t, m, time.Now())
			if n := r.ca.Orders(); n != 1 || m.Status().LastError != nil {
				t.Errorf("got %d orders and %+v, want the first one alone", n, m.Status().LastError)
			}
		})
	}
}

// TestClockThatGoesBack: a record from what is the future now puts nothing off for
// longer than by how much the clock was set.
func TestClockThatGoesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "back.test", testca.Config{})
	r.ca.Intercept(down)
	m := r.start(t, r.config(t))
	m.settle(t)
	m.again(t)
	m.stop()
	r.ahead.Add(-int64(time.Hour))
	r.ca.Intercept(nil)
	r.relisten(t)
	m = r.start(t, r.config(t))
	if took := m.passes(t, r, m.settle(t), 3*time.Hour); took > 2*time.Hour {
		t.Errorf("took %v, want what the schedule says and an hour at most", took)
	}
	r.leaf(t, m, r.now())
}

// TestLongSleep: a machine that resumes after its certificate has expired serves
// it, and has another at once.
func TestLongSleep(t *testing.T) {
	t.Parallel()
	r := newRig(t, "sleep.test", testca.Config{})
	begin := time.Now().AddDate(0, 0, -20)
	old := issue(t, testca.LeafOptions{NotBefore: begin, NotAfter: begin.AddDate(0, 0, 60)}, r.domain)
	r.put(t, keys.SiteCert, old.CertPEM)
	r.put(t, keys.SitePrivateKey, old.KeyPEM)
	m := r.start(t, r.config(t))
	m.settle(t)
	serves := func(when string) {
		t.Helper()
		if chain, err := shake(t, m, r.domain); err != nil || chain[0].SerialNumber.Cmp(old.Certificate.Leaf.SerialNumber) != 0 {
			t.Errorf("%s: got %v, want the stored certificate", when, err)
		}
	}
	serves("before")
	r.ahead.Add(int64(60 * 24 * time.Hour)) // asleep
	serves("after, out of date")
	if n := r.ca.Orders(); n != 0 {
		t.Fatalf("before it resumes: got %d orders", n)
	}
	m.again(t)
	r.leaf(t, m, r.now())
	if s := m.Status(); s.Attempts != 1 || s.LastError != nil {
		t.Errorf("got %+v, want one attempt", s)
	}
}

// TestClockThatJumps: whoever waits is woken within a poll when the clock was set, or
// the machine has slept; what it waited for was to come by another clock.
func TestClockThatJumps(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		left     time.Duration // of the certificate that is stored; 0 = there is none
		wrong    time.Duration // by which our clock is ahead of the CA's at first
		passes   time.Duration // for us and for the CA, while we sleep
		attempts int           // in the end
	}{
		"asleep for 60 days": {left: 40 * 24 * time.Hour, passes: 60 * 24 * time.Hour, attempts: 1},
		"asleep for a night": {left: 40 * 24 * time.Hour, passes: 8 * time.Hour},
		"back by an hour":    {wrong: time.Hour, attempts: 1},
		"on by ten years":    {wrong: -3650 * 24 * time.Hour, attempts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wrong atomic.Int64
			wrong.Store(int64(test.wrong))
			c := newCrowd(t, "jumps-"+strings.ReplaceAll(name, " ", "-"), 1, func(cfg *certs.Config) {
				byHTTP(cfg)
				now := cfg.Now
				cfg.Now = func() time.Time { return now().Add(time.Duration(wrong.Load())) }
			})
			c.domain = c.domains[0]
			if test.left > 0 {
				end := time.Now().Add(test.left)
				leaf := issue(t, testca.LeafOptions{NotBefore: end.AddDate(0, 0, -90), NotAfter: end}, c.domain)
				c.put(t, keys.SiteCert, leaf.CertPEM)
				c.put(t, keys.SitePrivateKey, leaf.KeyPEM)
			}
			var polls, jumps atomic.Int32
			c.Jumped(func(_, _ time.Time) bool { polls.Add(1); return jumps.Swap(0) > 0 })
			c.serve(t)
			await(t, "rest", func() bool { return !c.Status(c.domain).NextAttempt.IsZero() })
			before := c.Status(c.domain)
			if before.Have == (test.wrong != 0) || before.Attempts != 0 ||
				test.wrong != 0 && (before.LastError == nil || before.LastError.Reason != certs.ReasonClock) {
				t.Fatalf("before it jumps: got %+v", before)
			}
			wrong.Store(0)
			c.ahead.Add(int64(test.passes))
			seen := polls.Load()
			await(t, "three polls", func() bool { return polls.Load() >= seen+3 })
			if got := c.Status(c.domain); got.Serial != before.Serial || !got.NextAttempt.Equal(before.NextAttempt) {
				t.Errorf("it does not rest: got %+v", got)
			}
			jumps.Store(1)
			await(t, "another step, and its certificate", func() bool { // which is served a moment after the next time is shown
				got := c.Status(c.domain)
				return !got.NextAttempt.Equal(before.NextAttempt) && got.Have && got.NotAfter.After(c.now())
			})
			if got := c.Status(c.domain); !got.Have || got.LastError != nil || got.Attempts != test.attempts || !got.NotAfter.After(c.now()) {
				t.Errorf("after it jumped: got %+v, want %d attempts", got, test.attempts)
			}
		})
	}
}

// TestCAWhoseOwnCertificateExpired is not taken for a wrong clock where somebody
// agrees with ours, or where it is a matter of days.
func TestCAWhoseOwnCertificateExpired(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		ahead time.Duration // of the CA's real time
		agree bool          // Tesla does, with us
		want  certs.Reason
	}{
		"for days":               {93 * 24 * time.Hour, false, certs.ReasonUntrusted},
		"for months":             {300 * 24 * time.Hour, false, certs.ReasonClock},
		"for months, and agreed": {300 * 24 * time.Hour, true, certs.ReasonUntrusted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "api-"+strings.NewReplacer(" ", "-", ",", "").Replace(name)+".test", testca.Config{})
			r.ahead.Store(int64(test.ahead))
			cfg := r.config(t)
			cfg.ClockOffset = func() (time.Duration, bool) { return 0, test.agree }
			m := r.start(t, cfg)
			m.settle(t)
			if reason := reasonOf(m); reason != test.want || r.ca.Orders() != 0 {
				t.Errorf("got reason %q and %d orders, want %q and none", reason, r.ca.Orders(), test.want)
			}
		})
	}
}
