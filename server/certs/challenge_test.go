package certs_test

import (
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/testca"
	"wellkey/internal/testnet"
)

// TestOneOrderAnAttempt: an attempt whose challenge fails costs one order and one
// authorization, and the next one has the other challenge.
func TestOneOrderAnAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "one.test", testca.Config{})
	var accepted atomic.Int32 // challenges that the CA was asked to look at
	r.ca.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.HasPrefix(req.URL.Path, testca.ChallengePath) {
			accepted.Add(1)
		}
		return false
	})
	port, _ := testnet.Ports(t, "127.0.0.1")
	r.ca.SetPorts(port, port) // nothing reaches us
	m := r.start(t, r.config(t))
	begin, d := r.now(), m.settle(t)
	attempts := 1
	for r.now().Add(d).Sub(begin) < time.Hour {
		d = m.again(t)
		attempts++
		if orders, failed := r.ca.Orders(), int(accepted.Load()); orders != attempts || failed != attempts {
			t.Fatalf("after %d attempts: got %d orders and %d challenges, want as many", attempts, orders, failed)
		}
	}
	if attempts > 4 {
		t.Errorf("got %d failed authorizations in an hour, want fewer than the 5 that the CA allows", attempts)
	}
	if b := m.Status().Budget; b.Remaining != 2 {
		t.Errorf("got %+v, want nothing spent", b)
	}
}

// TestOtherChallengeTheNextTime: where only one port reaches us, the second
// attempt finds out, and the renewal begins with what worked.
func TestOtherChallengeTheNextTime(t *testing.T) {
	t.Parallel()
	port, _ := testnet.Ports(t, "127.0.0.1")
	for name, ports := range map[string]func(http, tls int) (int, int){
		"only 80":  func(http, _ int) (int, int) { return http, port },
		"only 443": func(_, tls int) (int, int) { return port, tls },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "other-"+strings.ReplaceAll(name, " ", "-")+".test", testca.Config{})
			r.ca.SetPorts(ports(r.http.Addr().(*net.TCPAddr).Port, r.tls.Addr().(*net.TCPAddr).Port))
			cfg := r.config(t)
			cfg.Poll = time.Millisecond
			m := r.start(t, cfg)
			if d := m.settle(t); !m.Status().Have && d > 2*time.Minute {
				t.Errorf("got a wait of %v, want a minute", d)
			}
			if !m.Status().Have {
				m.again(t)
			}
			r.leaf(t, m, r.now())
			first := r.ca.Orders()
			if first > 2 {
				t.Errorf("got %d orders for the first certificate, want 2 at most", first)
			}
			m.ask(t, cfg, r.domain)
			if n := r.ca.Orders() - first; n != 1 || m.Status().LastError != nil {
				t.Errorf("got %d orders for the next one, and %+v, want 1", n, m.Status().LastError)
			}
		})
	}
}

// TestCAWithoutAChallenge: one that does not offer TLS-ALPN-01, as some do not,
// gets an order by the other.
func TestCAWithoutAChallenge(t *testing.T) {
	t.Parallel()
	r := newRig(t, "lacks.test", testca.Config{})
	r.ca.Answer(testca.AuthzPath, func(good []byte) []byte {
		return []byte(strings.ReplaceAll(string(good), `"tls-alpn-01"`, `"something-else-01"`))
	})
	m := r.start(t, r.config(t))
	m.settle(t)
	m.again(t)
	r.leaf(t, m, r.now())
	if n := r.ca.Orders(); n != 2 {
		t.Errorf("got %d orders, want 2", n)
	}
}
