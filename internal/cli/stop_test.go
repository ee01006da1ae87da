package cli_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"wellkey/internal/admin"
	"wellkey/internal/cli"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testca"
	"wellkey/registrar/fleetapi"
)

// holdFinalize keeps the CA from finalizing orders. The first channel tells that
// an order came so far; closing the second lets it go on.
func (w *world) holdFinalize() (arrived <-chan struct{}, release chan<- struct{}) {
	came, free := make(chan struct{}, 10), make(chan struct{})
	w.CA.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, testca.FinalizePath) {
			came <- struct{}{}
			select {
			case <-free:
			case <-r.Context().Done():
			}
		}
		return false
	})
	return came, free
}

func (w *world) receive(what string, from <-chan struct{}) {
	w.t.Helper()
	select {
	case <-from:
	case <-w.ctx.Done():
		w.t.Fatalf("waiting for %s: %v", what, w.ctx.Err())
	}
}

// TestStopDuringFinalize: a certificate that the CA is about to issue counts
// there, so it is not thrown away by a stop.
func TestStopDuringFinalize(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	arrived, release := w.holdFinalize()
	first := w.exec()
	w.receive("the order", arrived)
	if err := first.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.awaitLine(first.Log, "stopping")
	// The admin listener goes last, so that the end can be watched.
	if ready := w.get("/readyz"); ready.Status != 503 || !strings.Contains(string(ready.Body), "stopping") {
		t.Errorf("/readyz answers %d %q while stopping", ready.Status, ready.Body)
	}
	close(release)
	if code := first.Wait(); code != 0 {
		t.Errorf("exit code is %d, want 0", code)
	}
	w.awaitLine(first.Log, "stopped")

	second := w.exec()
	w.awaitLine(second.Log, "certificate loaded")
	w.awaitRegistered()
	if w.CA.Orders() != 1 || w.CA.Finalized() != 1 {
		t.Errorf("%d orders, %d finalized, want 1 and 1", w.CA.Orders(), w.CA.Finalized())
	}
}

// TestSecondSignal: who does not want to wait signals again.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	arrived, release := w.holdFinalize()
	defer close(release)
	p := w.exec()
	w.receive("the order", arrived)
	for range 2 {
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		w.awaitLine(p.Log, "stopping")
	}
	if code := p.Wait(); code != -1 {
		t.Errorf("exit code is %d, want that the signal ended it", code)
	}
}

// TestStopWhileTeslaHangs: a request that hangs does not hold up a stop.
func TestStopWhileTeslaHangs(t *testing.T) {
	t.Parallel()
	for _, op := range fleetapi.Operations() {
		t.Run(string(op), func(t *testing.T) {
			t.Parallel()
			w := newRegistrable(t, withFiles)
			w.Tesla.Break(fleetsim.Hang, fleetsim.Limit{Operations: []fleetapi.Operation{op}})
			r := w.run()
			w.await("the request", func(admin.Status) bool { return w.Tesla.Count(op) >= 2 })
			if code := r.Stop(); code != 0 {
				t.Errorf("exit code is %d", code)
			}
			for _, words := range []string{`"level":"error"`, `"level":"warn"`} {
				if strings.Contains(r.Log.String(), words) {
					t.Errorf("a stop is logged as a failure:\n%s", r.Log)
				}
			}
		})
	}
}

// TestExitCodes: 1 is for what a restart may heal, 2 for what it does not.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	blocked := filepath.Join(dir, "blocked") // a data directory whose state is no directory
	for _, err := range []error{
		os.WriteFile(file, []byte("no key\n"), 0o600), os.Mkdir(blocked, 0o700), os.WriteFile(filepath.Join(blocked, "state"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	listeners := []string{"WELLKEY_HTTP_ADDR=127.0.0.1:0", "WELLKEY_HTTPS_ADDR=127.0.0.1:0", "WELLKEY_ADMIN_ADDR=127.0.0.1:0"}
	serve := func(more ...string) []string {
		return append(append([]string{"WELLKEY_DOMAIN=keys.example.com", "WELLKEY_DATA_DIR=" + dir}, listeners...), more...)
	}
	tests := []struct {
		name    string
		args    []string
		environ []string
		code    int
		stderr  string
	}{
		{"version", []string{"version"}, nil, 0, ""},
		{"help", []string{"serve", "--help"}, nil, 0, ""},
		{"good settings", []string{"serve", "--check-config"}, serve(), 0, ""},
		{"no domain", []string{"serve"}, nil, 2, "domain"},
		{"a domain as it must not be", []string{"serve", "--domain", "https://Example.com/"}, serve(), 2, "example.com"},
		{"an unknown command", []string{"sevre"}, nil, 2, `"serve"`},
		{"an unknown flag", []string{"serve", "--domian", "x"}, nil, 2, "--domian"},
		{"an unknown variable", []string{"serve"}, serve("WELLKEY_DOMIAN=x"), 2, "WELLKEY_DOMIAN"},
		{"a data directory that is a file", []string{"serve"}, serve("WELLKEY_DATA_DIR=" + file), 2, file},
		{"a data directory that cannot be used", []string{"serve"}, serve("WELLKEY_DATA_DIR=" + blocked), 1, blocked},
		{"a key file that holds no key", []string{"serve"}, serve("WELLKEY_KEY_FILE=" + file), 1, file},
		{"certificate files that are none", []string{"serve"}, serve("WELLKEY_TLS=files", "WELLKEY_TLS_CERT_FILE="+file, "WELLKEY_TLS_KEY_FILE="+file), 1, "tls_cert_file"},
		{"nobody to ask", []string{"healthcheck"}, serve("WELLKEY_ADMIN_ADDR=127.0.0.1:1"), 1, "127.0.0.1:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := cli.Run(context.Background(), cli.Process{Args: tt.args, Environ: tt.environ, Stdout: &stdout, Stderr: &stderr})
			if code != tt.code || !strings.Contains(stderr.String(), tt.stderr) || (code != 0) != strings.Contains(stderr.String(), "wellkey: ") {
				t.Errorf("exit code %d, want %d, with %q in:\n%s%s", code, tt.code, tt.stderr, &stdout, &stderr)
			}
		})
	}
}

// TestSecondInstance: the next one waits for the ports of the one before, and
// takes over without an order.
func TestSecondInstance(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	first := w.run()
	w.awaitRegistered()
	served := w.fetch()
	second := w.run()
	for _, name := range []string{"http", "https", "admin"} {
		e := w.awaitLine(second.Log, "address not available yet, retrying", "level", "warn", "listener", name)
		if !strings.Contains(e.Text("error"), name+"_addr") {
			t.Errorf("the error does not name the setting: %s", e.Text("error"))
		}
	}
	if code := first.Stop(); code != 0 {
		t.Errorf("exit code is %d", code)
	}
	visit, err := w.AwaitFetch(w.ctx)
	if err != nil || !bytes.Equal(visit.Body, served.Body) {
		t.Errorf("the second one serves %q, %v", visit.Body, err)
	}
	w.awaitRegistered()
	w.wantPosts(2)
	if w.CA.Orders() != 1 || w.CA.Accounts() != 1 {
		t.Errorf("%d orders and %d accounts, want one each", w.CA.Orders(), w.CA.Accounts())
	}
}

// TestPortsTakenAtFirstStart: what holds the ports goes away after a while, and
// only then can a certificate be had.
func TestPortsTakenAtFirstStart(t *testing.T) {
	t.Parallel()
	w := newRegistrable(t)
	var squatters []net.Listener
	for _, addr := range []string{w.HTTPAddr, w.HTTPSAddr} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		squatters = append(squatters, l)
	}
	r := w.run()
	w.awaitLine(r.Log, "address not available yet, retrying", "listener", "http")
	w.awaitLine(r.Log, "address not available yet, retrying", "listener", "https")
	w.await("not ready", func(s admin.Status) bool { return !s.Ready })
	for _, l := range squatters {
		_ = l.Close()
	}
	w.awaitRegistered()
	if err := w.Check(w.ctx, fleetapi.NA, fleetapi.EU); err != nil {
		t.Error(err)
	}
}
