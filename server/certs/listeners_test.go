package certs_test

import (
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/testca"
)

// TestListenersComeLater: while another program holds the ports, nothing is
// ordered; once one of them is ours, its challenge works.
func TestListenersComeLater(t *testing.T) {
	t.Parallel()
	r := newRig(t, "later.test", testca.Config{})
	cfg := r.config(t)
	var bound atomic.Bool
	cfg.HTTPAddr = func() string { return "" } // never
	cfg.TLSAddr = func() string {
		if bound.Load() {
			return r.tls.Addr().String()
		}
		return ""
	}
	m := r.start(t, cfg)
	if d := m.settle(t); d > time.Second || r.ca.Orders() != 0 || m.Status().Attempts != 0 || m.Status().LastError != nil {
		t.Errorf("waits %v after %d orders, with %+v; want a second, none, nothing", d, r.ca.Orders(), m.Status())
	}
	bound.Store(true)
	m.again(t)
	r.leaf(t, m, time.Now())
	if r.ca.Orders() != 1 {
		t.Errorf("%d orders, want 1", r.ca.Orders())
	}
}
