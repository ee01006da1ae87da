package faults_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"wellkey/internal/admin"
	"wellkey/internal/testca"
	"wellkey/internal/testprogram"
	"wellkey/internal/testworld"
	"wellkey/keystore"
	"wellkey/registrar"
	"wellkey/registrar/fleetapi"
)

// registered tells whether Tesla has the key in both regions, for all wellkey knows.
func registered(s admin.Status) bool {
	r := s.Sites[0].Registrations
	return r[0].State == registrar.Registered && r[1].State == registrar.Registered
}

// TestTwoInstances: two processes on one volume, started at the same moment, share
// one certificate, one account and one registration a region; both serve.
func TestTwoInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	host, _ := newHost()
	addrs := freeAddrs(t, host, 3)
	second := []string{"HTTP_ADDR=" + addrs[0], "HTTPS_ADDR=" + addrs[1], "ADMIN_ADDR=" + addrs[2]}
	other := watch(t, strings.TrimPrefix(second[1], "HTTPS_ADDR="), w.Domain, w.publicKey(), w.Roots, time.Now, func() bool { return false })
	first := w.start()
	w.start(second...)
	t.Cleanup(func() { // before the world ends the second one
		other.stop()
		w.watcher.stop()
		_ = first.Signal(os.Kill)
		first.Wait()
	})
	w.watcher.served()
	other.served()
	must(t, w.WriteCredentials())
	w.await("both regions", registered) // of the first
	for _, region := range []fleetapi.Region{fleetapi.NA, fleetapi.EU} {
		if n := w.Tesla.Count(fleetapi.OpRegister, region); w.Registered(region) == "" || n != 1 {
			t.Errorf("Tesla has %q in %s after %d posts, want one", w.Registered(region), region, n)
		}
	}
	if n := w.ca.count(testca.FinalizePath); n != 1 {
		t.Errorf("%d certificates, want 1", n)
	}
	if n := w.ca.Accounts(); n != 1 {
		t.Errorf("%d accounts, want 1", n)
	}
}

// publicKey returns what the key file is served as.
func (w *world) publicKey() []byte {
	w.t.Helper()
	text, err := os.ReadFile(w.keyFile())
	must(w.t, err)
	parsed, err := keystore.Parse(text)
	must(w.t, err)
	return parsed.Key.PEM()
}

// TestBadReload: SIGHUP with a key file and credentials that cannot be used leaves the
// last good ones in use, and the process running.
func TestBadReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	must(t, w.WriteCredentials())
	p := w.start()
	w.await("both regions", registered)
	w.watcher.served()
	for n, bad := range []string{"", "no key\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", strings.Repeat("A", 1<<20)} {
		must(t, os.WriteFile(w.keyFile(), []byte(bad), 0o600), os.WriteFile(w.CredentialsFile, []byte("client_id: ["+bad), 0o600), p.Signal(syscall.SIGHUP))
		if _, err := p.Log.Await(w.ctx, nth(n+1, "reload left the last good state in use")); err != nil {
			t.Fatalf("waiting for the reload: %v", err)
		}
		w.watcher.served()
	}
	w.wantMetric(`wellkey_key_file_good{domain="` + w.Domain + `"} 0`)
	if n := w.Tesla.Count(fleetapi.OpRegister); n != 2 {
		t.Errorf("%d registrations were posted, want 2", n)
	}
}

// TestKilledWhileRotating kills "wellkey rotate" at 100 random moments. The key
// file has the key that it had or, where that is to be published, the staged one
// after each, whole, and what is served is one of those that it had.
func TestKilledWhileRotating(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	must(t, w.WriteCredentials())
	w.start()
	w.await("both regions", registered)
	w.watcher.served()
	var staging, publishing moments
	const want, most = 100, 500 // a kill may come late
	kills, runs, changed := 0, 0, 0
	for ; kills < want && runs < most; runs++ {
		w.goOn()
		before, staged := w.fingerprint(w.keyFile()), w.stagedKey()
		var killed bool
		if staged == "" {
			killed = w.killRotate(&staging, random)
		} else {
			killed = w.killRotate(&publishing, random, "--confirm", staged)
		}
		if killed {
			kills++
		}
		switch now := w.fingerprint(w.keyFile()); now {
		case before:
		case staged:
			changed++
		default:
			t.Fatalf("run %d: the key file has the key %s, want %s or the staged %q", runs, now, before, staged)
		}
	}
	if kills < want || changed == 0 {
		t.Errorf("of %d runs %d were killed, want %d, and the key file got another key %d times", runs, kills, want, changed)
	}
	w.watcher.served()
	t.Logf("of %d runs %d were killed, and the key file got another key %d times", runs, kills, changed)
	if found := quarantined(w.state()); len(found) > 0 {
		t.Errorf("in quarantine: %q", found)
	}
	// What was cut off goes on: the key that is there now is registered in the end.
	if fingerprint := w.stagedKey(); fingerprint != "" {
		w.rotate(0, "--confirm", fingerprint)
	}
	text, err := os.ReadFile(w.keyFile())
	must(t, err)
	key, err := keystore.Parse(text)
	must(t, err)
	w.await("the key in both regions", func(s admin.Status) bool {
		return registered(s) && w.Registered(fleetapi.NA) == key.Key.Hex() && w.Registered(fleetapi.EU) == key.Key.Hex()
	})
}

// stagedKey returns the fingerprint of the key that a rotation put beside the one in
// use, "" if there is none. From now on that key may be served.
func (w *world) stagedKey() string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.DataDir, "staged-key.pem"))
	if err != nil {
		return ""
	}
	parsed, err := keystore.Parse(text)
	if err != nil {
		w.t.Fatalf("the staged key: %v", err)
	}
	w.watcher.allow(parsed.Key.PEM())
	return parsed.Key.Fingerprint()
}

// nth matches the entry with a message that is the nth of its kind.
func nth(n int, message string) func(testworld.Entry) bool {
	return func(e testworld.Entry) bool {
		if e.Message == message {
			n--
		}
		return n == 0
	}
}

func (w *world) fingerprint(file string) string {
	w.t.Helper()
	text, err := os.ReadFile(file)
	must(w.t, err)
	parsed, err := keystore.Parse(text)
	if err != nil {
		w.t.Fatalf("%s is neither the old key nor the new one: %v", file, err)
	}
	return parsed.Key.Fingerprint()
}

// moments are those at which a command may be killed: as long as it takes, which is
// looked at again whenever it was not killed, and longer each time that it was, since
// the machine may be busier than it was.
type moments struct{ length time.Duration }

// killRotate runs "wellkey rotate" and kills it at one of the moments, none at first.
// It reports whether that found it alive.
func (w *world) killRotate(of *moments, random *rand.Rand, args ...string) (killed bool) {
	w.t.Helper()
	var after time.Duration
	if of.length > 0 {
		after = 1 + time.Duration(random.Int64N(int64(of.length)))
	}
	took, killed := w.rotate(after, args...)
	if killed {
		took = of.length + of.length/8
	}
	of.length = took
	return killed
}

// rotate runs "wellkey rotate" and kills it after a while; 0 lets it end. It returns
// how long it took, and whether the kill is what ended it.
func (w *world) rotate(after time.Duration, args ...string) (took time.Duration, killed bool) {
	w.t.Helper()
	command := exec.CommandContext(w.ctx, testprogram.Path(w.t), append([]string{"rotate"}, args...)...)
	command.Env = append(w.Environ(), "PATH="+os.Getenv("PATH"))
	began := time.Now()
	must(w.t, command.Start())
	if after > 0 {
		defer time.AfterFunc(after, func() { _ = command.Process.Kill() }).Stop() // at a random moment
	}
	_ = command.Wait() // killed, or with a code that says that something is open
	status := command.ProcessState.Sys().(syscall.WaitStatus)
	return time.Since(began), status.Signaled() && status.Signal() == syscall.SIGKILL
}

// TestFewDescriptors: with 64 file descriptors and 200 connections that want to be
// held, and come again when they are not, those that are too many are shed while there
// are descriptors left to look from outside, to register and to renew the certificate; the
// log stays short, and when the silent ones have gone, all are served again.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	const files = 64
	w := newWorld(t)
	w.startAs(w.wrapper(fmt.Sprint("ulimit -n ", files), ""))
	w.await("a certificate", have)
	w.watcher.served()
	since := w.watcher.down() // all places are taken
	stop := w.flood(200, w.HTTPSAddr)
	w.moreTurned(files)
	must(t, w.WriteCredentials())
	w.await("both regions", registered)
	w.renew(t)
	w.moreTurned(1)
	stop()
	t.Logf("nobody had to be served for %v", w.watcher.up(since))
	log := w.running.Log.String()
	if lines := strings.Count(log, "\n"); lines > 100 {
		t.Errorf("%d lines of log", lines)
	}
	if strings.Contains(log, "too many open files") {
		t.Error("something went without a descriptor")
	}
}

// TestFloodAtFewDescriptors: with 256 file descriptors and a flood that is always more
// than the listeners hold, admin answers, the look from outside succeeds, Tesla gets
// the registration, the CA issues another certificate, and what comes of that is stored,
// while connections to the listeners are turned away or lose their places.
func TestFloodAtFewDescriptors(t *testing.T) {
	t.Parallel()
	const files = 256
	w := newWorld(t)
	p := w.startAs(w.wrapper(fmt.Sprint("ulimit -n ", files), ""))
	w.await("a certificate", have)
	w.watcher.served()
	since := w.watcher.down() // places are taken from whoever waits for 100 ms, on a busy machine from anybody
	stop := w.flood(600, w.HTTPAddr, w.HTTPSAddr, w.HTTPSAddr)
	ctx, enough := context.WithCancel(w.ctx)
	most, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; <-tick.C {
			if open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Pid())); err == nil {
				most = max(most, len(open))
			}
		}
	}()
	w.moreTurned(files)
	must(t, w.WriteCredentials())
	w.await("both regions", registered)
	w.renew(t)
	before := w.moreTurned(1)
	stop()
	enough()
	<-ended
	w.watcher.up(since)
	w.wantMetric("wellkey_storage_writable 1")
	t.Logf("%d of %d descriptors at most, %.0f turned away", most, files, before)
	if most < files/2 {
		t.Errorf("%d descriptors were open at a time, so that it was no flood, or they were not counted", most)
	}
	if most > files-files/24*3 {
		t.Errorf("%d descriptors are open at a time, want %d in reserve", most, files/24*3)
	}
	if log := w.running.Log.String(); strings.Contains(log, "too many open files") {
		t.Error("something went without a descriptor")
	}
}

// flood opens silent connections to addresses in turn, and opens them anew when they
// are closed, until stop.
func (w *world) flood(connections int, addrs ...string) (stop func()) {
	ctx, cancel := context.WithCancel(w.ctx)
	var all errgroup.Group
	for n := range connections {
		addr := addrs[n%len(addrs)]
		all.Go(func() error {
			// It is a flood that leaves this machine something: each of them has its
			// place for two seconds or so, which whoever speaks does not need.
			pause := time.NewTicker(10*time.Second + time.Duration(10*n)*time.Millisecond)
			defer pause.Stop()
			for ctx.Err() == nil {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
				if err == nil {
					ended := context.AfterFunc(ctx, func() { _ = conn.Close() })
					_, _ = conn.Read(make([]byte, 1)) // until it is closed
					ended()
					_ = conn.Close()
				}
				select {
				case <-pause.C:
				case <-ctx.Done():
				}
			}
			return nil
		})
	}
	stop = sync.OnceFunc(func() { cancel(); _ = all.Wait() }) // none has an error
	w.t.Cleanup(stop)
	return stop
}

// moreTurned waits until so many more connections were turned away or lost their
// places, and returns how many did.
func (w *world) moreTurned(n float64) (turned float64) {
	w.t.Helper()
	before := w.turned()
	for turned = before; turned < before+n; turned = w.turned() { // each of these is a visit to the admin listener, too
		if w.ctx.Err() != nil {
			w.t.Fatal("nobody is turned away any more")
		}
	}
	return turned
}

// turned returns how many connections were turned away or lost their places.
func (w *world) turned() float64 {
	w.t.Helper()
	return w.sum("wellkey_connections_rejected_total", "wellkey_connections_displaced_total")
}

// sum returns the sum of all series of some metrics.
func (w *world) sum(metrics ...string) (sum float64) {
	w.t.Helper()
	all, err := w.Metrics(w.ctx)
	must(w.t, err)
	for series, value := range all {
		if name, _, _ := strings.Cut(series, "{"); slices.Contains(metrics, name) {
			sum += value
		}
	}
	return sum
}

// TestManyConnections: as many connections as a listener holds do not bring the
// process near the 128 MB of a small container, nor keep others from the key.
func TestManyConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start()
	w.await("a certificate", have)
	const many = 1000
	var secured atomic.Int64
	var clients errgroup.Group
	clients.SetLimit(16)
	for range many {
		conn, err := new(net.Dialer).DialContext(w.ctx, "tcp", w.HTTPSAddr)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		clients.Go(func() error {
			// On a busy machine the server may have given it up before.
			if tls.Client(conn, &tls.Config{ServerName: w.Domain, InsecureSkipVerify: true}).HandshakeContext(w.ctx) == nil {
				secured.Add(1)
			}
			return nil
		})
	}
	_ = clients.Wait() // none has an error
	w.watcher.served()
	t.Logf("%d handshakes of %d, %.0f connections are held at the end", secured.Load(), many, w.sum("wellkey_connections"))
	if secured.Load() < many/2 {
		t.Errorf("%d handshakes of %d, so that not many connections were held", secured.Load(), many)
	}
	most, err := testworld.Memory(w.running.Pid(), testworld.Peak)
	must(t, err)
	t.Logf("%d MB at most", most/1_000_000)
	if most > 96_000_000 {
		t.Errorf("%d bytes of memory, want 96 MB at most", most)
	}
}

// TestSlowDisk: a disk, or a share on the network, on which every fsync takes five
// seconds or fails as on a stale handle, keeps nobody from the key.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]string{"slow": "delay_exit=5000000", "stale": "error=ESTALE"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start()
			w.await("a certificate", have)
			since := w.kill()
			if _, err := exec.LookPath("strace"); err != nil {
				t.Fatalf("a slow disk is made with strace (Debian package strace), which is missing: %v", err)
			}
			w.startAs(w.wrapper("", "strace -D -f -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:"+inject))
			if gap := w.watcher.up(since); gap > startPatience {
				t.Errorf("nobody was served for %v", gap)
			}
			w.settled()
			for range 20 {
				w.watcher.served()
			}
			w.kill()
		})
	}
}
