package certs_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// refuseToFinalize makes the CA refuse at a moment when each order might have
// given a certificate, for all we know.
func (r *rig) refuseToFinalize() {
	r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasPrefix(req.URL.Path, testca.FinalizePath) {
			return false
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"type":"urn:ietf:params:acme:error:serverInternal","detail":"oops","status":500}`))
		return true
	})
}

func reasonOf(m *run) certs.Reason {
	if last := m.Status().LastError; last != nil {
		return last.Reason
	}
	return ""
}

func TestBudgetBoundsOrders(t *testing.T) {
	t.Parallel()
	r := newRig(t, "budget.test", testca.Config{})
	r.refuseToFinalize()
	m := r.start(t, r.config(t))
	d, begin := m.settle(t), r.now()
	until := func(most time.Duration) {
		for r.now().Add(d).Sub(begin) < most {
			d = m.again(t)
		}
	}
	if b := m.Status().Budget; b == nil || b.Remaining != 1 || b.NextRefill.Sub(begin) > 24*time.Hour || b.NextRefill.Sub(begin) < 23*time.Hour {
		t.Errorf("after one order: got budget %+v", b)
	}
	until(23 * time.Hour)
	if n := r.ca.Orders(); n != 2 {
		t.Errorf("in the first day: got %d orders, want 2", n)
	}
	until(6 * 24 * time.Hour)
	if n := r.ca.Orders(); n != 3 {
		t.Errorf("in the first week: got %d orders, want 3", n)
	}
	if reason := reasonOf(m); reason != certs.ReasonBudget {
		t.Errorf("got reason %q, want that of a spent budget", reason)
	}
	// A restart changes nothing, and a week later there is more.
	m.stop()
	r.relisten(t)
	m = r.start(t, r.config(t))
	m.settle(t)
	if n := r.ca.Orders(); n != 3 {
		t.Errorf("after a restart: got %d orders, want 3", n)
	}
	r.ca.Intercept(nil)
	for r.now().Sub(begin) < 9*24*time.Hour && !m.Status().Have {
		m.again(t)
	}
	r.leaf(t, m, r.now())
}

func TestOrderThatWasNotFinalizedIsRefunded(t *testing.T) {
	t.Parallel()
	r := newRig(t, "refund.test", testca.Config{})
	r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		// A GET works, so looking does not tell that the CA is down.
		if req.URL.Path == testca.NewOrderPath && req.Method == http.MethodPost {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	})
	m := r.start(t, r.config(t))
	m.settle(t)
	for range 3 {
		m.again(t)
	}
	if b := m.Status().Budget; b.Remaining != 2 || !b.NextRefill.IsZero() || r.ca.Orders() < 4 {
		t.Errorf("got %+v after %d orders, want a whole budget", b, r.ca.Orders())
	}
}

func TestLedgerIsWrittenBeforeTheOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "before.test", testca.Config{})
	entries := make(chan int, 10)
	store := r.storage(t)
	r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if req.URL.Path == testca.NewOrderPath {
			var rec struct{ Ledger struct{ Entries []any } }
			data, err := store.Load(context.Background(), "issuance/"+r.issuerKey()+"/"+r.domain+".json")
			if err == nil {
				err = json.Unmarshal(data, &rec)
			}
			if err != nil {
				t.Error(err)
			}
			entries <- len(rec.Ledger.Entries)
		}
		return false
	})
	m := r.start(t, r.config(t))
	m.settle(t)
	if n := <-entries; n != 1 {
		t.Errorf("got %d entries while the order was made, want 1", n)
	}
}

func TestDamagedLedgerIsSpent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		main, backup string
		orders       int // without a certificate in the storage
	}{
		{"both", "{", "\x00", 0},
		{"foreign JSON", "{}", "[]", 0},
		{"no copy", "{", "", 0},
		{"one copy is good", "{", "keep", 1},
		{"main lost", "", "keep", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ledger-"+strings.ReplaceAll(strings.ToLower(test.name), " ", "-")+".test", testca.Config{})
			r.start(t, r.config(t)).settleAndStop(t)
			store := r.storage(t)
			if err := store.Delete(t.Context(), "certificates"); err != nil {
				t.Fatal(err)
			}
			key := "issuance/" + r.issuerKey() + "/" + r.domain + ".json"
			for key, data := range map[string]string{key: test.main, key + ".bak": test.backup} {
				var err error
				switch data {
				case "keep":
				case "":
					err = store.Delete(t.Context(), key)
				default:
					err = store.Store(t.Context(), key, []byte(data))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			before := r.ca.Orders()
			r.relisten(t)
			m := r.start(t, r.config(t))
			d := m.settle(t)
			if n := r.ca.Orders() - before; n != test.orders {
				t.Fatalf("got %d orders, want %d; %+v", n, test.orders, m.Status().LastError)
			}
			if test.orders > 0 {
				return
			}
			if reasonOf(m) != certs.ReasonBudget || d < 23*time.Hour || d > 24*time.Hour || m.Status().Budget.Remaining != 0 {
				t.Errorf("got %+v and a wait of %v, want a spent budget for a day", m.Status(), d)
			}
			m.again(t)
			r.leaf(t, m, r.now())
		})
	}
}

// settleAndStop waits for the end of the first step and stops.
func (m *run) settleAndStop(t *testing.T) {
	t.Helper()
	m.settle(t)
	m.stop()
}

func TestWordForcesARenewal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "word.test", testca.Config{})
	cfg := r.config(t)
	cfg.Poll = time.Millisecond
	m := r.start(t, cfg)
	m.settle(t)
	// The budget of the day is 2; a third and a fourth order are the operator's.
	for want := 2; want <= 4; want++ {
		taken, err := certs.AskForRenewal(t.Context(), cfg.Storage, r.domain)
		if err != nil {
			t.Fatal(err)
		}
		m.settle(t) // woken, not told to go on
		if !taken(t.Context()) || r.ca.Orders() != want {
			t.Errorf("taken %t, %d orders, want %d; %+v", taken(t.Context()), r.ca.Orders(), want, m.Status().LastError)
		}
	}
	if b := m.Status().Budget; b.Remaining != 0 {
		t.Errorf("got %+v, want what the operator ordered counted", b)
	}
}

func TestRenewalThatTheCAWantsCountsApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, "apart.test", testca.Config{})
	m := r.start(t, r.config(t))
	m.settle(t)
	first := r.leaf(t, m, r.now())
	now := time.Now()
	if err := r.ca.SetRenewalInfo(first, now.Add(-2*time.Hour), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.askAgainForARI(t)
	m.again(t)
	if second := r.leaf(t, m, r.now()); second.SerialNumber.Cmp(first.SerialNumber) == 0 {
		t.Fatal("got the old certificate")
	}
	if b := m.Status().Budget; b.Remaining != 1 {
		t.Errorf("got %+v, want only the first certificate counted", b)
	}
}

// askAgainForARI changes the stored metadata so that the CA is to be asked again
// when to renew.
func (r *rig) askAgainForARI(t *testing.T) {
	t.Helper()
	meta, err := r.storage(t).Load(t.Context(), keys.SiteMeta(r.issuerKey(), r.domain))
	if err != nil {
		t.Fatal(err)
	}
	var resource map[string]any
	if err := json.Unmarshal(meta, &resource); err != nil {
		t.Fatal(err)
	}
	resource["issuer_data"].(map[string]any)["renewal_info"].(map[string]any)["_retryAfter"] = time.Now().Add(-time.Minute)
	if meta, err = json.Marshal(resource); err != nil {
		t.Fatal(err)
	}
	r.put(t, keys.SiteMeta, meta)
}

func TestScheduleSurvivesRestarts(t *testing.T) {
	t.Parallel()
	r := newRig(t, "kept.test", testca.Config{})
	var requests atomic.Int32
	r.ca.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		requests.Add(1)
		if req.URL.Path != testca.NewOrderPath {
			return false
		}
		w.Header().Set("Retry-After", "172800")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}`))
		return true
	})
	r.start(t, r.config(t)).settleAndStop(t)
	before := requests.Load()
	for range 5 {
		r.relisten(t)
		m := r.start(t, r.config(t))
		if d := m.settle(t); d < 47*time.Hour || d > 49*time.Hour {
			t.Errorf("got a wait of %v, want two days", d)
		}
		if reason := reasonOf(m); reason != certs.ReasonRateLimited {
			t.Errorf("got reason %q, want the one from before the restart", reason)
		}
		m.stop()
	}
	if n := requests.Load() - before; n != 0 {
		t.Errorf("got %d requests before the date, want none", n)
	}
	r.ca.Intercept(nil)
	r.relisten(t)
	m := r.start(t, r.config(t))
	m.settle(t)
	m.again(t)
	r.leaf(t, m, r.now())
}

func TestCrashLoop(t *testing.T) {
	t.Parallel()
	r := newRig(t, "crash.test", testca.Config{})
	key := "issuance/" + r.issuerKey() + "/" + r.domain + ".json"
	for unclean, want := range map[int]bool{1: false, 2: true} { // the next start finds one more
		data, err := json.Marshal(map[string]any{"domain": r.domain, "running": true, "unclean": unclean})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.storage(t).Store(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
		if err := r.storage(t).Delete(t.Context(), "certificates"); err != nil {
			t.Fatal(err)
		}
		before := r.ca.Orders()
		r.relisten(t)
		m := r.start(t, r.config(t))
		d := m.settle(t)
		if held := reasonOf(m) == certs.ReasonCrashLoop && r.ca.Orders() == before && d > 50*time.Second && d <= time.Minute; held != want {
			t.Errorf("after %d unclean stops: held %t (%v, %+v), want %t", unclean+1, held, d, m.Status().LastError, want)
		}
		if want {
			m.again(t)
		}
		r.leaf(t, m, r.now())
		m.stop()
	}
}

func TestSlowDown(t *testing.T) {
	refused, oops := problem("connection", "refused", 400), problem("serverInternal", "oops", 500)
	for _, test := range []struct {
		err         error
		since       time.Duration
		least, most time.Duration
	}{
		{refused, 6 * 24 * time.Hour, 24 * time.Hour, 27 * time.Hour},
		{refused, 7 * 24 * time.Hour, 7 * 24 * time.Hour, 8 * 24 * time.Hour},
		{oops, 30 * 24 * time.Hour, 24 * time.Hour, 27 * time.Hour},
	} {
		if got := certs.PauseSince(test.err, 10, test.since, time.Time{}); got < test.least || got > test.most {
			t.Errorf("%v for %v: got %v, want %v to %v", test.err, test.since, got, test.least, test.most)
		}
	}
}
