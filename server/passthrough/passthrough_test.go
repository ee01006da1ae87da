package passthrough_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"wellkey/server/passthrough"
	"wellkey/server/trouble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come. It is far more than
// anything needs, since a machine may be busy, and only a test that fails uses it.
const patience = 2 * time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pair returns the two ends of a TCP connection.
func pair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	here, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	there, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
	must(t, here.SetDeadline(time.Now().Add(patience)))
	return here.(*net.TCPConn), there.(*net.TCPConn)
}

// A rig passes connections for one name to a target that the test plays.
type rig struct {
	*passthrough.Passthrough
	t        testing.TB
	registry *prometheus.Registry
	target   *net.TCPListener
	carried  sync.WaitGroup
}

func newRig(t testing.TB) *rig {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r := &rig{t: t, registry: prometheus.NewRegistry(), target: l.(*net.TCPListener)}
	r.Passthrough, err = passthrough.New(passthrough.Config{
		Routes: []passthrough.Route{{Name: "a.example", Target: l.Addr().String()}}, Own: owns("keys.example.com"), Registerer: r.registry,
	})
	must(t, err)
	t.Cleanup(func() {
		r.Close()
		r.carried.Wait()
		_ = l.Close()
	})
	return r
}

// carry passes a new connection on, and returns its client.
func (r *rig) carry(first string, from netip.Prefix) *net.TCPConn {
	client, conn := pair(r.t)
	r.carried.Go(func() {
		r.Carry(conn, conn.RemoteAddr(), conn.LocalAddr(), []byte(first), r.Match("a.example"), from)
	})
	return client
}

// accept returns the target's end.
func (r *rig) accept() *net.TCPConn {
	r.t.Helper()
	must(r.t, r.target.SetDeadline(time.Now().Add(patience)))
	conn, err := r.target.AcceptTCP()
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	must(r.t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// through returns both ends of a connection that is passed on. One that is only
// accepted may, for us, not have reached the target yet.
func (r *rig) through() (client, target *net.TCPConn) {
	r.t.Helper()
	client = r.carry("x", netip.Prefix{})
	target = r.accept()
	_, err := io.ReadFull(target, make([]byte, 1))
	must(r.t, err)
	return client, target
}

func (r *rig) failures(reason string) float64 {
	families, err := r.registry.Gather()
	must(r.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "wellkey_passthrough_failures_total" && l.GetValue() == reason {
					return m.GetCounter().GetValue()
				}
			}
		}
	}
	r.t.Fatalf("there is no reason %s", reason)
	return 0
}

// Each end may finish first; the other way goes on.
func TestHalfClose(t *testing.T) {
	for _, first := range []string{"client", "target"} {
		t.Run(first, func(t *testing.T) {
			r := newRig(t)
			client := r.carry("hel", netip.Prefix{})
			target := r.accept()
			ends := map[string][2]*net.TCPConn{"client": {client, target}, "target": {target, client}}[first]
			_, err := io.WriteString(client, "lo")
			must(t, err)
			hello := make([]byte, 5)
			_, err = io.ReadFull(target, hello)
			must(t, err)
			if string(hello) != "hello" {
				t.Errorf("the target got %q", hello)
			}
			must(t, ends[0].CloseWrite())
			if got, err := io.ReadAll(ends[1]); len(got) > 0 || err != nil {
				t.Errorf("the other end got %q, %v, want the end", got, err)
			}
			_, err = io.WriteString(ends[1], "still here")
			must(t, err)
			must(t, ends[1].CloseWrite())
			if got, err := io.ReadAll(ends[0]); string(got) != "still here" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			r.carried.Wait()
		})
	}
}

func TestLimits(t *testing.T) {
	r := newRig(t)
	r.SetMax(2)
	first, target := r.through()
	r.through()
	over := r.carry("", netip.Prefix{})
	if got, err := io.ReadAll(over); len(got) > 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if n := r.failures("total"); n != 1 {
		t.Errorf("%v were refused, want 1", n)
	}
	must(t, first.CloseWrite())
	must(t, target.CloseWrite())
	_, err := io.ReadAll(first)
	must(t, err)
	for status := r.Status()[0]; status.Open > 1; status = r.Status()[0] {
	}
	r.through()
	r.Close()
	if got, err := io.ReadAll(r.carry("", netip.Prefix{})); len(got) > 0 || err != nil || r.failures("stopping") != 1 {
		t.Errorf("after the end: got %q, %v, and %v were refused for it", got, err, r.failures("stopping"))
	}
}

// However few are passed on, one address leaves room for others.
func TestLimitOfOneClient(t *testing.T) {
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for most, each := range map[int]int{passthrough.MaxConnections: 1024, 9: 6, 2: 1} {
		r := newRig(t)
		r.SetMax(most)
		for range each {
			r.carry("", one)
			_ = r.accept()
		}
		if got, err := io.ReadAll(r.carry("", one)); len(got) > 0 || err != nil || r.failures("address") != 1 {
			t.Errorf("%d of %d: got %q, %v", each, most, got, err)
		}
		r.carry("", other)
		r.accept()
	}
}

// Much passes at constant memory, and none of it is lost.
func TestMuchPasses(t *testing.T) {
	const size = 256 << 20
	r := newRig(t)
	client := r.carry("", netip.Prefix{})
	target := r.accept()
	must(t, client.SetDeadline(time.Now().Add(patience)))
	must(t, target.SetDeadline(time.Now().Add(patience)))
	go func() {
		_, _ = io.CopyN(client, zeros{}, size)
		_ = client.CloseWrite()
	}()
	n, err := io.Copy(io.Discard, target)
	if n != size || err != nil {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestDiagnose(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	for _, tc := range []struct {
		err         error
		reason      string
		cause, fix  string
		description string
	}{
		{dial(&net.DNSError{Err: "no such host", Name: "x"}), "unknown_name", "nobody knows the name of the target here", "Write the name of the server's service, and put both containers into one network; or write its IP address", "name"},
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "refused", "nothing listens there: the server does not run, or listens on another port", "Start it, or correct passthrough. Inside a container localhost is that container alone", "port"},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "unreachable", "the address does not answer at all", "Check the address, and firewalls between the two", "host"},
		{dial(context.DeadlineExceeded), "unreachable", "the address does not answer at all", "Check the address, and firewalls between the two", "timeout"},
		{dial(os.NewSyscallError("socket", syscall.EMFILE)), "other", "too many files are open here, so no connection can be made; the target is not to blame", "Raise LimitNOFILE or ulimit -n; for the whole machine, fs.file-max", "files"},
		{dial(os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)), "other", "this machine has no free port for one more connection to that address; the target is not to blame", "Widen net.ipv4.ip_local_port_range, or look why so many connections are open", "own ports"},
		{io.ErrClosedPipe, "other", "no usual one, so what was said is all that is known", "Look into the log of the server behind it", "rest"},
	} {
		reason, cause, fix := passthrough.Diagnose(tc.err)
		if reason != tc.reason || cause != tc.cause || fix != tc.fix {
			t.Errorf("%s: got %s: %s; %s", tc.description, reason, cause, fix)
		}
	}
}

// TestLateFailure: an attempt that began before another one succeeded, and timed out
// after it, says nothing of how the target is; the next one that fails does.
func TestLateFailure(t *testing.T) {
	r := newRig(t)
	target, began := r.Match("a.example"), time.Now()
	r.Recovered(target)
	r.Report(target, began.Add(-time.Second), context.DeadlineExceeded)
	if s := r.Status()[0]; s.Trouble != (trouble.Trouble{}) || r.failures("unreachable") != 1 {
		t.Errorf("the trouble is %+v, and %v failures were counted", s.Trouble, r.failures("unreachable"))
	}
	r.Report(target, time.Now().Add(time.Second), context.DeadlineExceeded)
	if s := r.Status()[0]; s.Trouble.Cause == "" {
		t.Error("a new failure is not told")
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	r := newRig(t)
	problems, err := testutil.GatherAndLint(r.registry)
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if n, err := testutil.GatherAndCount(r.registry); n != 12 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
}

func TestOwnNameIsRefused(t *testing.T) {
	_, err := passthrough.New(passthrough.Config{Own: owns("a.example"), Routes: []passthrough.Route{{Name: "a.example", Target: "b:1"}}})
	if err == nil || !strings.HasPrefix(err.Error(), "passthrough: the own name a.example") {
		t.Errorf("got %v", err)
	}
}

// owns is for who serves one name.
func owns(own string) func(name string) bool {
	return func(name string) bool { return name == own }
}
