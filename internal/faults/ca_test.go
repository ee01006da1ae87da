package faults_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// due is a sim with a certificate that is due for renewal.
func due(t *testing.T, options ...func(*testca.Config)) *sim {
	t.Helper()
	s := newSim(t, options...)
	s.seed(29 * 24 * time.Hour)
	return s
}

// renewed goes on until the certificate is renewed, for so much time at most, and
// wants the client to have seen it.
func (i *instance) renewed(d, most time.Duration) time.Duration {
	i.s.t.Helper()
	d = i.until(d, most, func() bool { return i.reason() == "" && i.Status().Serial != i.s.seeded })
	if i.reason() != "" || i.Status().Serial == i.s.seeded {
		i.s.t.Fatalf("not renewed within %v: %+v", most, i.Status().LastError)
	}
	i.s.watcher.served()
	return d
}

// TestRateLimited: what the CA says about when to come again is obeyed, over
// restarts too, however it says it.
func TestRateLimited(t *testing.T) {
	t.Parallel()
	const long = 34 * time.Hour
	until := time.Now().Add(long).UTC()
	text := "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s, retry after " +
		until.Format(time.DateTime) + " UTC: see https://letsencrypt.org/docs/rate-limits/"
	for name, test := range map[string]struct {
		fault fault
		at    []string
	}{
		"exact set, header":   {refuse(http.StatusTooManyRequests, "rateLimited", "too many", "Retry-After", fmt.Sprint(int(long.Seconds()))), []string{testca.NewOrderPath}},
		"exact set, text":     {refuse(http.StatusTooManyRequests, "rateLimited", text), []string{testca.NewOrderPath}},
		"directory, 503":      {refuse(http.StatusServiceUnavailable, "serverInternal", "busy", "Retry-After", until.Format(http.TimeFormat)), []string{testca.DirectoryPath}},
		"nonce, 503":          {refuse(http.StatusServiceUnavailable, "serverInternal", "busy", "Retry-After", fmt.Sprint(int(long.Seconds()))), []string{testca.NewNoncePath}},
		"new account, 429":    {refuse(http.StatusTooManyRequests, "rateLimited", "too many new registrations", "Retry-After", fmt.Sprint(int(long.Seconds()))), []string{testca.NewAccountPath}},
		"finalize, text":      {refuse(http.StatusTooManyRequests, "rateLimited", text), []string{testca.FinalizePath}},
		"everything, no type": {say(http.StatusTooManyRequests, "text/plain", "retry after "+until.Format(time.DateTime)+" UTC"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := due(t)
			s.ca.breaks(test.fault, test.at...)
			i := s.start()
			d := i.settle()
			i.wantFailures(map[certs.Reason]int{i.reason(): 1})
			requests := s.ca.count()
			for range 3 {
				if want := time.Until(until) - time.Second; d < want && name != "everything, no type" { // dates are of whole seconds
					t.Errorf("comes again in %v, want %v at least", d, want)
				}
				i = i.restart()
				d = i.settle()
			}
			if name != "everything, no type" {
				i.wantFailures(map[certs.Reason]int{}) // none since that start
			}
			if n := s.ca.count() - requests; n != 0 && name != "everything, no type" {
				t.Errorf("%d requests before the date, want none", n)
			}
			s.ca.mends()
			i.renewed(d, long+4*time.Hour)
		})
	}
}

// TestBadNonces: a CA that rejects good nonces costs time, and where it rejects
// nearly all of them, an attempt, as every failure does.
func TestBadNonces(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{5, 50, 90} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			t.Parallel()
			s := due(t, func(c *testca.Config) { c.BadNonces = percent })
			i := s.start()
			d := i.settle()
			if percent == 90 && i.reason() != "" {
				if i.reason() != certs.ReasonRequest || d < 20*time.Second || d > 2*time.Minute {
					t.Errorf("got %+v and a wait of %v, want a minute as after every failure", i.Status().LastError, d)
				}
				return
			}
			i.renewed(d, 7*24*time.Hour)
		})
	}
}

// TestBadNoncesAndSleeps: with three of ten good nonces rejected and Pebble's own
// random sleeps, 20 of 20 attempts give a certificate at once.
func TestBadNoncesAndSleeps(t *testing.T) {
	t.Parallel()
	for run := range 20 {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			t.Parallel()
			s := due(t, func(c *testca.Config) { c.BadNonces, c.Sleep = 30, 5*time.Second })
			i := s.start()
			i.settle()
			if i.reason() != "" || i.Status().Attempts != 1 {
				t.Fatalf("after %d attempts: %+v", i.Status().Attempts, i.Status().LastError)
			}
			s.watcher.served()
			if s.watcher.certificates() == 0 || !i.Status().NotAfter.After(time.Now().AddDate(0, 0, 80)) {
				t.Errorf("got %+v", i.Status())
			}
		})
	}
}

// tooMuch is what an endpoint may send before we count it as a client that takes
// everything; far less than the 10 GB that there are.
const tooMuch = 64 << 20

// TestBrokenAnswers: whatever an endpoint sends, the attempt ends, is one failure,
// takes little memory, and the next one gives a certificate.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	var flooded atomic.Int64
	flood := func(w http.ResponseWriter, _ *http.Request, _ func() *httptest.ResponseRecorder) {
		w.Header().Set("Content-Type", "application/json")
		chunk := []byte(strings.Repeat(" ", 64<<10))
		for sent := int64(0); sent < 10<<30; sent += int64(len(chunk)) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
			if flooded.Add(int64(len(chunk))) > 16*tooMuch { // this machine is to live
				panic(http.ErrAbortHandler)
			}
		}
	}
	for kind, f := range map[string]fault{
		"cut":                cut,
		"10 GB":              flood,
		"junk":               say(http.StatusOK, "application/json", "\x00\xff{]"),
		"empty":              say(http.StatusOK, "application/json", ""),
		"web page":           say(http.StatusOK, "text/html", "<html><title>Welcome to nginx!</title>"),
		"other content type": typed("application/octet-stream"),
		"redirect": func(w http.ResponseWriter, r *http.Request, _ func() *httptest.ResponseRecorder) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		},
		"invalid profile": refuse(http.StatusBadRequest, "invalidProfile", "the profile is not offered"),
	} {
		for _, at := range []string{testca.DirectoryPath, testca.NewOrderPath, testca.FinalizePath, testca.CertificatePath} {
			t.Run(kind+strings.TrimSuffix(at, "/"), func(t *testing.T) {
				t.Parallel()
				s := due(t)
				s.ca.breaks(f, at)
				i := s.start()
				d := i.settle()
				status := i.Status()
				if i.reason() == "" { // it does not matter to the client
					i.renewed(d, time.Hour)
					return
				}
				if status.Attempts != 1 || d < 20*time.Second || d > 12*time.Minute {
					t.Errorf("%d attempts and a wait of %v, want one and a minute", status.Attempts, d)
				}
				if orders, finalized := s.ca.count(testca.NewOrderPath), s.ca.count(testca.FinalizePath); finalized > 3 || orders > 3 {
					t.Errorf("%d orders and %d requests to finalize in one attempt, want a few", orders, finalized)
				}
				s.ca.mends()
				i.renewed(d, 25*time.Hour)
			})
		}
	}
	t.Cleanup(func() {
		if n := flooded.Load(); n > tooMuch {
			t.Errorf("the client read %d MB of answers without end", n>>20)
		}
	})
}

// TestHang: a CA that takes requests and never answers does not hold wellkey
// longer than its deadlines, nor does it keep anybody from the key.
func TestHang(t *testing.T) {
	t.Parallel()
	for _, at := range []string{testca.DirectoryPath, testca.NewOrderPath, testca.FinalizePath} {
		t.Run(strings.Trim(at, "/"), func(t *testing.T) {
			t.Parallel()
			s := due(t)
			s.ca.breaks(hang, at)
			i := s.start()
			began := time.Now()
			var d time.Duration
			select {
			case d = <-i.waits:
			case <-time.After(patience):
				t.Fatalf("an attempt goes on for %v", patience)
			}
			t.Logf("the attempt ended after %v", time.Since(began).Round(time.Second))
			if i.reason() != certs.ReasonTimeout || i.Status().Attempts != 1 {
				t.Errorf("after %d attempts: got %+v, want one that took too long", i.Status().Attempts, i.Status().LastError)
			}
			s.ca.mends()
			i.renewed(d, 25*time.Hour)
		})
	}
}

// TestRefusals: where a person must act, the CA's own words and links are shown,
// wellkey asks seldom, and once it is done, the next attempt goes well.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const pause = "Your account is temporarily prevented from requesting certificates for example.com. Please visit: https://portal.letsencrypt.org/sfe/v1/unpause?jwt=abc"
	for name, test := range map[string]struct {
		fault  fault
		at     []string
		reason certs.Reason
		text   string
	}{
		"paused":              {refuse(http.StatusTooManyRequests, "rateLimited", pause), []string{testca.NewOrderPath}, certs.ReasonRateLimited, "https://portal.letsencrypt.org/sfe/v1/unpause?jwt=abc"},
		"new terms":           {refuse(http.StatusForbidden, "userActionRequired", "Terms of service have changed: https://ca.example/terms/v7"), []string{testca.NewOrderPath, testca.NewAccountPath}, certs.ReasonAccount, "https://ca.example/terms/v7"},
		"account deactivated": {refuse(http.StatusForbidden, "unauthorized", "Account is not valid, has status \"deactivated\""), []string{testca.NewOrderPath}, certs.ReasonUnauthorized, "deactivated"},
		"CAA":                 {refuse(http.StatusForbidden, "caa", "CAA record for example.com prevents issuance"), []string{testca.FinalizePath}, certs.ReasonCAA, "prevents issuance"},
		"policy":              {refuse(http.StatusBadRequest, "rejectedIdentifier", "The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy"), []string{testca.NewOrderPath}, certs.ReasonIdentifier, "forbidden by policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := due(t)
			s.ca.breaks(test.fault, test.at...)
			i := s.start()
			d := i.settle()
			last := i.Status().LastError
			if last == nil || last.Reason != test.reason || !strings.Contains(last.Text, test.text) || last.Fix == "" {
				t.Errorf("got %+v, want %s and %q", last, test.reason, test.text)
			}
			i.wantFailures(map[certs.Reason]int{test.reason: 1})
			d = i.until(d, time.Hour, never)
			if n := i.Status().Attempts; n > 5 {
				t.Errorf("%d attempts in an hour, want 5 at most", n)
			}
			d = i.until(d, 19*24*time.Hour, never)
			i.wantFailures(map[certs.Reason]int{test.reason: i.Status().Attempts})
			s.ca.mends()
			i.renewed(d, 9*24*time.Hour+12*time.Hour)
		})
	}
}

// TestUnreachableForTheCA: where the CA cannot reach us, through a firewall or an
// old AAAA record, it says so and is asked seldom: five times in the first hour at
// most, and after a week of the same, once a week.
func TestUnreachableForTheCA(t *testing.T) {
	t.Parallel()
	s := due(t)
	s.names.Set(s.domain, "A 127.255.255.1") // where nobody listens
	s.undated.Store(true)
	i := s.start()
	d := i.settle()
	last := i.Status().LastError
	if last == nil || last.Reason != certs.ReasonConnection && last.Reason != certs.ReasonUnauthorized || !strings.Contains(last.Fix, "A and AAAA records") {
		t.Errorf("got %+v, want words about the records", last)
	}
	i.wantFailures(map[certs.Reason]int{i.reason(): 1})
	d = i.until(d, time.Hour, never)
	if n := i.Status().Attempts; n > 5 {
		t.Errorf("%d attempts in the first hour, want 5 at most", n)
	}
	d = i.until(d, 9*24*time.Hour, never)
	before := i.Status().Attempts
	d = i.until(d, 21*24*time.Hour, never)
	if n := i.Status().Attempts - before; n > 4 {
		t.Errorf("%d attempts in the three weeks after, want one a week", n)
	}
	s.names.Set(s.domain, "A "+strings.Split(s.http, ":")[0])
	i.until(d, 8*24*time.Hour, func() bool { return i.reason() == "" })
	if i.reason() != "" {
		t.Errorf("got %+v after it was mended", i.Status().LastError)
	}
}
