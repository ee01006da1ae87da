package certs_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

var down = func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

// refusing is a CA that has trouble with the resources below path only.
func refusing(path string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, path) {
			return false
		}
		if strings.HasPrefix(body, "{") {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
}

// outages are ways for a CA to be down.
var outages = map[string]func(http.ResponseWriter, *http.Request) bool{
	"all":          down,
	"directory":    refusing(testca.DirectoryPath, http.StatusServiceUnavailable, "<html>maintenance</html>"),
	"nonces":       refusing(testca.NewNoncePath, http.StatusInternalServerError, ""),
	"accounts":     refusing(testca.NewAccountPath, http.StatusBadGateway, ""),
	"orders":       refusing(testca.NewOrderPath, http.StatusServiceUnavailable, "<html>maintenance</html>"),
	"orders, told": refusing(testca.NewOrderPath, http.StatusInternalServerError, `{"type":"urn:ietf:params:acme:error:serverInternal","detail":"Service busy; retry later."}`),
}

// TestOutage: for as long as the CA is down there are few attempts, and it is
// noticed within an hour that it is back, also where nobody has a certificate yet.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, outage := range outages {
		for span, test := range map[string]struct {
			outage time.Duration
			most   int
		}{"day": {24 * time.Hour, 5}, "week": {7 * 24 * time.Hour, 11}} {
			t.Run(name+" for a "+span, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, "outage-"+span+"-"+strings.NewReplacer(", ", "-", " ", "-").Replace(name)+".test", testca.Config{})
				var requests atomic.Int32
				r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool { requests.Add(1); return outage(w, req) })
				m := r.start(t, r.config(t))
				begin, d := r.now(), m.settle(t)
				for r.now().Add(d).Sub(begin) < test.outage {
					d = m.again(t)
				}
				if n := m.Status().Attempts; n > test.most || n < 4 {
					t.Errorf("got %d attempts, want 4 to %d", n, test.most)
				}
				// One attempt may have made orders: acmez repeats a request that
				// fails with 500 twice. The rest were looks.
				if n := r.ca.Orders(); n > 3 {
					t.Errorf("got %d requests for an order, want those of one attempt", n)
				}
				// A look has five requests at most, and one that is cut may be
				// repeated once by the client at once.
				if most := 10 * int(test.outage/(45*time.Minute)); int(requests.Load()) > most {
					t.Errorf("got %d requests, want %d at most", requests.Load(), most)
				}
				r.ca.Intercept(nil)
				if took := m.passes(t, r, d, 2*time.Hour); took > time.Hour {
					t.Errorf("took %v to notice that the CA is back, want an hour at most", took)
				}
				r.leaf(t, m, r.now())
				if n := m.Status().Attempts; n > test.most+1 {
					t.Errorf("got %d attempts with the last one, want %d at most", n, test.most+1)
				}
			})
		}
	}
}

// passes lets time pass until there is a certificate, or for at most so long.
func (m *run) passes(t *testing.T, r *rig, d, most time.Duration) time.Duration {
	t.Helper()
	begin := r.now()
	for !m.Status().Have && r.now().Add(d).Sub(begin) < most {
		d = m.again(t)
	}
	return r.now().Sub(begin)
}

// TestOutageOverRestarts: what is known of an outage survives.
func TestOutageOverRestarts(t *testing.T) {
	t.Parallel()
	r := newRig(t, "outage-restarts.test", testca.Config{})
	r.ca.Intercept(outages["orders"])
	r.start(t, r.config(t)).settleAndStop(t)
	before := r.ca.Orders()
	for range 5 {
		r.relisten(t)
		r.start(t, r.config(t)).settleAndStop(t)
	}
	if n := r.ca.Orders() - before; n != 0 {
		t.Errorf("got %d requests for an order in five starts, want none", n)
	}
	r.ca.Intercept(nil)
	r.relisten(t)
	m := r.start(t, r.config(t))
	m.settle(t)
	r.leaf(t, m, r.now())
}

// TestCAThatOnlySeemsToBeBack: a CA that can be seen to be down and up in turn,
// and fails all orders, does not draw more attempts.
func TestCAThatOnlySeemsToBeBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "seems.test", testca.Config{})
	var looks atomic.Int32
	outage := outages["orders"]
	r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == testca.NewOrderPath && req.Method == http.MethodGet && looks.Add(1)%2 == 0 {
			return false
		}
		return outage(w, req)
	})
	m := r.start(t, r.config(t))
	begin, d := r.now(), m.settle(t)
	for _, bound := range []struct {
		span time.Duration
		most int
	}{{24 * time.Hour, 5}, {7 * 24 * time.Hour, 11}} {
		for r.now().Add(d).Sub(begin) < bound.span {
			d = m.again(t)
		}
		if n := m.Status().Attempts; n > bound.most || n < 4 {
			t.Errorf("in %v: got %d attempts, want 4 to %d", bound.span, n, bound.most)
		}
	}
}

// TestCAThatHangs: a CA that answers nothing to an order is as good as down. The
// test is not parallel, since it shortens certmagic's patience for all.
func TestCAThatHangs(t *testing.T) {
	patience := certmagic.HTTPTimeout
	certmagic.HTTPTimeout = 300 * time.Millisecond
	defer func() { certmagic.HTTPTimeout = patience }()
	r := newRig(t, "hangs.test", testca.Config{})
	var back atomic.Bool
	r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != testca.NewOrderPath || back.Load() {
			return false
		}
		<-req.Context().Done()
		return true
	})
	m := r.start(t, r.config(t))
	begin, d := r.now(), m.settle(t)
	if reason := reasonOf(m); reason != certs.ReasonTimeout {
		t.Errorf("got reason %q, want a timeout", reason)
	}
	for r.now().Add(d).Sub(begin) < 8*time.Hour {
		d = m.again(t)
	}
	if n := m.Status().Attempts; n != 4 {
		t.Errorf("got %d attempts, want the 4 of the schedule", n)
	}
	m.Patience(patience) // what succeeds may take longer than what hangs
	back.Store(true)
	if took := m.passes(t, r, d, 2*time.Hour); took > time.Hour {
		t.Errorf("took %v to notice that the CA is back, want an hour at most", took)
	}
	r.leaf(t, m, r.now())
	m.stop()
}

// TestRetryAfterOfALook: a CA that is down and says for how long is not looked at
// before.
func TestRetryAfterOfALook(t *testing.T) {
	t.Parallel()
	r := newRig(t, "looked.test", testca.Config{})
	r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path != testca.NewOrderPath {
			return false
		}
		w.Header().Set("Retry-After", "21600")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	m := r.start(t, r.config(t))
	if d := m.settle(t); d < 6*time.Hour-time.Minute || d > 6*time.Hour+10*time.Minute {
		t.Errorf("got a wait of %v, want six hours", d)
	}
}
