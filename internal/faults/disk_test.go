package faults_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wellkey/internal/admin"
	"wellkey/internal/testca"
	"wellkey/internal/testprogram"
	"wellkey/server/certs"
)

// TestDiskFull: on a disk that is full, the certificate that is there is served,
// also after a kill; the CA is left alone; and when there is space again, all goes
// on by itself.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.onTmpfs(512)
	w.start()
	w.await("a certificate", have)
	w.watcher.served()
	free := fill(t, w.DataDir)
	since := w.kill()
	requests := w.ca.count()
	p := w.start()
	if gap := w.watcher.up(since); gap > startPatience {
		t.Errorf("nobody was served for %v", gap)
	}
	entry := w.awaitLine(p, "data directory cannot be written, so only what is in it is served, and nothing is ordered or registered")
	if !strings.Contains(entry.Text("error"), "free some space") || !strings.Contains(entry.Text("error"), w.state()) {
		t.Errorf("the error is %q, want path and fix", entry.Text("error"))
	}
	w.settled()
	w.wantMetric("wellkey_storage_writable 0")
	must(t, p.Signal(syscall.SIGHUP)) // nor does a reload end it
	w.watcher.served()
	if n := w.ca.count() - requests; n != 0 {
		t.Errorf("%d requests to the CA, want none", n)
	}
	free()
	w.renew(t)
	w.wantMetric("wellkey_storage_writable 1")
}

// onTmpfs puts the data directory onto a file system of that many kB.
func (w *world) onTmpfs(kB int) {
	w.t.Helper()
	files := snapshot(w.t, w.DataDir)
	mountTmpfs(w.t, w.DataDir, kB)
	restore(w.t, w.DataDir, files)
}

// wantMetric wants a line in the metrics.
func (w *world) wantMetric(line string) {
	w.t.Helper()
	visit, err := w.Admin(w.ctx, "/metrics")
	must(w.t, err)
	if !strings.Contains(string(visit.Body), "\n"+line+"\n") {
		w.t.Errorf("the metrics have no line %q", line)
	}
}

// renew leaves word that a certificate is wanted now, and waits for it.
func (w *world) renew(t *testing.T) {
	t.Helper()
	former := w.settled().Sites[0].Certificate.Serial
	wanted := filepath.Join(w.state(), "issuance", "wanted")
	must(t, os.MkdirAll(wanted, 0o700), os.WriteFile(filepath.Join(wanted, w.Domain), nil, 0o600))
	w.await("another certificate", func(s admin.Status) bool { return have(s) && s.Sites[0].Certificate.Serial != former })
	w.watcher.served()
}

// TestDiskFullAtFirstStart: nothing is ordered that could not be kept, and when
// there is space, the certificate comes without anybody's doing.
func TestDiskFullAtFirstStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.onTmpfs(256)
	must(t, os.MkdirAll(w.state(), 0o700))
	free := fill(t, w.DataDir)
	w.start()
	status := w.settled()
	if last := status.Sites[0].Certificate.LastError; last == nil || last.Reason != certs.ReasonStorage || !strings.Contains(last.Text, "free some space") {
		t.Errorf("got %+v, want words about the disk", last)
	}
	if n := w.ca.count(testca.NewNoncePath, testca.NewAccountPath, testca.NewOrderPath); n != 0 {
		t.Errorf("%d requests beside the directory, want none", n)
	}
	free()
	w.await("a certificate", have)
	w.watcher.served()
}

// TestReadOnly: a data directory that is mounted read-only is served from, and
// what is wrong with it is told with path and fix.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.await("a certificate", have)
	since := w.kill()
	readOnly(t, w.DataDir)
	p := w.start()
	if gap := w.watcher.up(since); gap > startPatience {
		t.Errorf("nobody was served for %v", gap)
	}
	entry := w.awaitLine(p, "data directory cannot be written, so only what is in it is served, and nothing is ordered or registered")
	if !strings.Contains(entry.Text("error"), "without :ro or readOnly") {
		t.Errorf("the error is %q, want the fix", entry.Text("error"))
	}
	w.settled()
	w.wantMetric("wellkey_storage_writable 0")
	requests := w.ca.count()
	must(t, p.Signal(syscall.SIGHUP))
	w.watcher.served()
	w.stop() // which is clean
	if n := w.ca.count() - requests; n != 0 {
		t.Errorf("%d requests to the CA, want none", n)
	}
}

// TestReadOnlyWithoutCertificate: nothing is ordered, and wellkey stays to say why.
func TestReadOnlyWithoutCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, os.MkdirAll(w.state(), 0o700))
	readOnly(t, w.DataDir)
	w.start()
	status := w.settled()
	if last := status.Sites[0].Certificate.LastError; last == nil || last.Reason != certs.ReasonStorage || !strings.Contains(last.Text, "read-only") {
		t.Errorf("got %+v, want words about the mount", last)
	}
	if n := w.ca.count(testca.NewAccountPath, testca.NewOrderPath); n != 0 {
		t.Errorf("%d accounts or orders, want none", n)
	}
}

// TestWrongOwner: a data directory that belongs to somebody else, as a volume of
// root's under the image's user, gives one line with the fix.
func TestWrongOwner(t *testing.T) {
	t.Parallel()
	const uid = "65532"
	w := newWorld(t)
	must(t, os.Chmod(filepath.Dir(testprogram.Path(t)), 0o755), os.Chmod(filepath.Dir(w.DataDir), 0o755), os.Chmod(filepath.Dir(filepath.Dir(w.DataDir)), 0o755), os.Chmod(w.DataDir, 0o755))
	p := w.startAs(w.wrapper("", "setpriv --reuid="+uid+" --regid="+uid+" --clear-groups"))
	if code := p.Wait(); code != 1 {
		t.Errorf("exit code is %d, want 1", code)
	}
	var told []string
	for line := range strings.Lines(p.Log.String()) {
		if strings.Contains(line, "chown -R "+uid+" "+w.DataDir) && strings.Contains(line, "fsGroup") {
			told = append(told, line)
		}
	}
	if len(told) != 1 {
		t.Errorf("%d lines have the fix, want 1:\n%s", len(told), p.Log)
	}
	w.running = nil
}

// TestDiskFullWhileSaving: where the disk fills between the finalizing of an order
// and the storing of the certificate, it is served from memory, the old pair stays
// whole on disk, and the new one is stored when it can be.
func TestDiskFullWhileSaving(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	mountTmpfs(t, s.dir, 512)
	s.seed(20 * 24 * time.Hour)
	before, err := os.ReadFile(s.cert())
	must(t, err)
	free := func() {}
	filled := false
	s.ca.onRequest(func(endpoint string) {
		if endpoint == testca.CertificatePath && !filled {
			filled = true
			free = fill(t, s.dir)
		}
	})
	i := s.start()
	d := i.settle()
	s.watcher.served()
	if s.watcher.certificates() != 2 && i.Status().NotAfter.Before(s.now().AddDate(0, 0, 60)) {
		t.Errorf("got %+v, want the new certificate from memory", i.Status())
	}
	if i.reason() != certs.ReasonStorage || d > time.Minute {
		t.Errorf("got %+v and a wait of %v, want a minute and words about the disk", i.Status().LastError, d)
	}
	if after, err := os.ReadFile(s.cert()); err != nil || string(after) != string(before) {
		t.Errorf("the old certificate was touched: %v", err)
	}
	for range 5 {
		d = i.again(d)
	}
	if n := s.ca.count(testca.NewOrderPath); n != 1 {
		t.Errorf("%d orders on a full disk, want 1", n)
	}
	free()
	i.again(d)
	if i.reason() != "" {
		t.Errorf("got %+v, want no error", i.Status().LastError)
	}
	serial := i.Status().Serial
	i = i.restart()
	i.settle()
	if i.Status().Serial != serial || s.ca.count(testca.NewOrderPath) != 1 {
		t.Errorf("after a restart: got serial %s and %d orders, want %s and 1", i.Status().Serial, s.ca.count(testca.NewOrderPath), serial)
	}
}

// TestDiskFullWhenARenewalIsDue: nothing is asked of the CA until there is space.
func TestDiskFullWhenARenewalIsDue(t *testing.T) {
	t.Parallel()
	s := newSim(t)
	mountTmpfs(t, s.dir, 512)
	s.seed(35 * 24 * time.Hour)
	i := s.start()
	d := i.settle()
	free := fill(t, s.dir)
	s.pass(10 * 24 * time.Hour)
	d = i.again(d)
	d = i.until(d, 3*time.Hour, never)
	if i.reason() != certs.ReasonStorage || s.ca.count(testca.NewAccountPath, testca.NewOrderPath) != 0 {
		t.Errorf("got %+v and %d orders, want none", i.Status().LastError, s.ca.count(testca.NewOrderPath))
	}
	if got := gauge(t, i.registry, "wellkey_storage_writable"); got != 0 {
		t.Errorf("wellkey_storage_writable is %v, want 0", got)
	}
	free()
	i.until(d, time.Hour, func() bool { return i.reason() == "" })
	s.watcher.served()
	if i.reason() != "" || s.watcher.certificates() != 2 {
		t.Errorf("an hour after there is space: %+v", i.Status().LastError)
	}
	if got := gauge(t, i.registry, "wellkey_storage_writable"); got != 1 {
		t.Errorf("wellkey_storage_writable is %v, want 1", got)
	}
}

// gauge returns the value of a metric without labels.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	must(t, err)
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}
