package faults_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// TestOutage: while the CA is away, for a day or a week, what there is is served,
// the CA is asked seldom, and an hour after its return there is a new certificate.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault fault
		at    []string
	}{
		"cut":          {away, nil},
		"502":          {say(http.StatusBadGateway, "text/html", "<html>Bad Gateway</html>"), nil},
		"maintenance":  {refuse(http.StatusServiceUnavailable, "serverInternal", "The service is down for maintenance"), []string{testca.NewNoncePath, testca.NewAccountPath, testca.NewOrderPath}},
		"no new order": {refuse(http.StatusInternalServerError, "serverInternal", "Error creating new order"), []string{testca.NewOrderPath}},
	} {
		for _, long := range []struct {
			days, most int
		}{{1, 5}, {7, 11}} {
			for _, first := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %d d, first %t", name, long.days, first), func(t *testing.T) {
					t.Parallel()
					outage(t, test.fault, test.at, time.Duration(long.days)*24*time.Hour, long.most, first)
				})
			}
		}
	}
}

func outage(t *testing.T, f fault, at []string, long time.Duration, most int, first bool) {
	s := newSim(t)
	if !first {
		s.seed(20 * 24 * time.Hour)
	}
	s.ca.breaks(f, at...)
	i := s.start()
	d, began := i.settle(), s.now()
	d = i.until(d, long-s.now().Sub(began), never)
	if n := i.Status().Attempts; n > most || n < 4 {
		t.Errorf("%d attempts in %v, want 4 to %d", n, long, most)
	}
	if n := s.ca.count(testca.NewOrderPath); n > most {
		t.Errorf("%d new orders in %v, want %d at most", n, long, most)
	}
	if i.Status().Have == first {
		t.Errorf("has a certificate: %t", !first)
	}
	former := s.watcher.certificates()
	if !first {
		s.watcher.served()
	}
	i = i.restart() // which must not make it come sooner
	before := i.Status().Attempts
	i.settle()
	if n := i.Status().Attempts - before; n > 0 {
		t.Errorf("%d attempts because of a restart", n)
	}

	s.ca.mends()
	back := s.now()
	i.until(d, time.Hour, func() bool { return i.reason() == "" && i.Status().Have })
	if !i.Status().Have || i.reason() != "" {
		t.Fatalf("an hour after the CA is back: %+v", i.Status().LastError)
	}
	s.watcher.served()
	if s.watcher.certificates() != former+1 {
		t.Errorf("%d certificates were served, want %d", s.watcher.certificates(), former+1)
	}
	t.Logf("%v after its return there was a certificate", s.now().Sub(back).Round(time.Second))
}

// TestExpiresDuringAnOutage: where the outage outlasts the certificate, it is
// served expired, and replaced when the CA is back (also after a machine slept
// for 60 days).
func TestExpiresDuringAnOutage(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	s.seed(time.Hour)
	s.ca.breaks(away)
	s.undated.Store(true)
	i := s.start()
	d := i.settle()
	i.until(d, 3*24*time.Hour, never)
	if !i.Status().Have || !s.now().After(i.Status().NotAfter) || i.reason() != certs.ReasonNetwork {
		t.Errorf("got %+v, want an expired certificate", i.Status())
	}
	s.watcher.served()
	s.ca.mends()
	s.pass(60 * 24 * time.Hour) // suspended
	began := time.Now()
	i.again(0)
	if !i.Status().NotAfter.After(time.Now()) || i.reason() != "" {
		t.Fatalf("got %+v, want a new certificate", i.Status())
	}
	if took := time.Since(began); took > 5*time.Minute {
		t.Errorf("took %v", took)
	}
	s.undated.Store(false)
}
