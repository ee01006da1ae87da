package faults_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestSmallContainer: in a control group with 64 MB, which the kernel enforces, more
// connections than are held neither end the process nor keep others from the key.
func TestSmallContainer(t *testing.T) {
	t.Parallel()
	const limit = 64 << 20
	enter := controlGroup(t, limit)
	w := newWorld(t)
	if enter != "" {
		w.startAs(w.wrapper(enter, ""))
		w.awaitLine(w.running, "memory limit of the container or service applies")
	} else { // where no group can be made, the runtime is told the same
		w.start(fmt.Sprintf("GOMEMLIMIT=%d", limit/10*9))
	}
	w.await("a certificate", have)
	var clients errgroup.Group
	clients.SetLimit(16)
	connect := func() net.Conn {
		conn, err := new(net.Dialer).DialContext(w.ctx, "tcp", w.HTTPSAddr)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	most := 0 // at a time
	for i := range 1000 {
		conn := connect()
		clients.Go(func() error {
			// Most of them lose their place to those that come after.
			_ = tls.Client(conn, &tls.Config{ServerName: w.Domain, InsecureSkipVerify: true, NextProtos: []string{"h2"}}).HandshakeContext(w.ctx)
			return nil
		})
		if i%100 == 99 {
			most = max(most, w.held())
		}
	}
	_ = clients.Wait() // none has an error
	w.watcher.served()
	// On a busy machine the first have been idle for too long when the last come.
	for round := 0; most < 100 && round < 20; round++ {
		for range 200 {
			connect()
		}
		most = max(most, w.held())
	}
	if most = max(most, w.held()); most < 100 || most > 340 {
		t.Errorf("%d connections are held at the most", most)
	}
}

// held returns how many connections the HTTPS listener holds.
func (w *world) held() int {
	w.t.Helper()
	all, err := w.Metrics(w.ctx)
	must(w.t, err)
	n, told := all[`wellkey_connections{listener="https"}`]
	if !told {
		w.t.Fatal("the metrics do not say how many connections there are")
	}
	return int(n)
}

// controlGroup makes a control group with so many bytes of memory, and returns what
// a shell enters it with; "" where this system lets nobody make one.
func controlGroup(t *testing.T, limit int) string {
	t.Helper()
	name := fmt.Sprintf("wellkey-faults-%d", os.Getpid())
	for _, kind := range []struct{ top, file string }{{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}} {
		if controllers, err := os.ReadFile(filepath.Join(kind.top, "cgroup.subtree_control")); kind.file == "memory.max" && (err != nil || !strings.Contains(string(controllers), "memory")) {
			continue
		}
		dir := filepath.Join(kind.top, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Logf("no control group: %v", err)
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) }) // after the process; an empty group costs nothing
		if err := os.WriteFile(filepath.Join(dir, kind.file), fmt.Append(nil, limit), 0o600); err != nil {
			t.Logf("no control group: %v", err)
			continue
		}
		return "echo $$ >" + filepath.Join(dir, "cgroup.procs")
	}
	return ""
}
