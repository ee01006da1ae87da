package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/admin"
	"wellkey/internal/testca"
	"wellkey/server/certs"
)

// What the README promises of the budget.
const (
	budgetOfADay  = 2
	budgetOfAWeek = 3
)

const (
	// startPromise is how long a start after a kill takes at most to serve what is
	// stored, by docs/reliability.md. It needs a tenth of a second.
	startPromise = 15 * time.Second

	// startPatience is how long any other may take, beside faults that last:
	// machines may be busy.
	startPatience = time.Minute
)

// TestKilledWhileIssuing kills wellkey at 100 random moments of issuance, two or
// three to a data directory. Whatever the CA issued and nobody got, the orders stay
// within the budget, nobody has to delete a file, and each directory ends with a
// certificate that the next start serves.
func TestKilledWhileIssuing(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const want = 100
	var kills, directories atomic.Int32
	t.Run("workers", func(t *testing.T) {
		for worker := range 12 {
			t.Run(fmt.Sprint(worker), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(seed, uint64(worker)))
				for n := 0; kills.Load() < want && !t.Failed(); n++ {
					directories.Add(1)
					t.Run(fmt.Sprint(n), func(t *testing.T) { killWhileIssuing(t, random, &kills) })
				}
			})
		}
	})
	t.Logf("%d kills in %d data directories", kills.Load(), directories.Load())
}

// have tells whether there is a certificate.
func have(s admin.Status) bool { return s.Sites[0].Certificate.Have }

// held matches a status in which nothing is ordered for a reason.
func held(reason certs.Reason) func(admin.Status) bool {
	return func(s admin.Status) bool {
		last := s.Sites[0].Certificate.LastError
		return last != nil && last.Reason == reason
	}
}

func killWhileIssuing(t *testing.T, random *rand.Rand, kills *atomic.Int32) {
	w := newWorld(t)
	for n := 0; n < 3 && !w.stored() && w.killAt(endpoints()[random.IntN(len(endpoints()))], random); n++ {
		kills.Add(1)
	}
	stored := w.stored()
	if n := w.ca.count(testca.NewOrderPath); n > budgetOfADay {
		t.Errorf("%d orders within a day, want %d at most", n, budgetOfADay)
	}

	if stored {
		w.again()
		return
	}
	w.start()
	rest := func(s admin.Status) bool {
		return have(s) || held(certs.ReasonBudget)(s) || held(certs.ReasonCrashLoop)(s)
	}
	status := w.await("a certificate, or why there is none", rest)
	if held(certs.ReasonCrashLoop)(status) { // TestCrashLoop waits for its end, which a clean stop is, too
		w.stop()
		w.start()
		status = w.await("a certificate, or why there is none", rest)
	}
	if n := w.ca.count(testca.NewOrderPath); n > budgetOfADay {
		t.Errorf("%d orders within a day, want %d at most", n, budgetOfADay)
	}
	if !have(status) { // a day later
		w.stop()
		w.age(25 * time.Hour)
		w.start()
	}
	w.await("a certificate", have)
	if n := w.ca.count(testca.NewOrderPath); n > budgetOfAWeek {
		t.Errorf("%d orders within two days, want %d at most", n, budgetOfAWeek)
	}
	w.kill()
	w.again()
	if found := quarantined(w.state()); len(found) > 0 {
		t.Errorf("a kill left what had to go into quarantine: %q", found)
	}
}

// stop ends wellkey as a supervisor does.
func (w *world) stop() {
	w.t.Helper()
	w.watcher.down()
	must(w.t, w.running.Signal(syscall.SIGTERM))
	if code := w.running.Wait(); code != 0 {
		w.t.Errorf("exit code is %d, want 0", code)
	}
}

// killAt starts wellkey and kills it at the first request to an endpoint: before
// the CA sees it, or up to 40 ms later. It returns false where none came: nothing is
// ordered any more, since the budget is spent, or there is a certificate already, as
// Pebble takes a proof for good that was given before in one of a hundred orders.
func (w *world) killAt(endpoint string, random *rand.Rand) bool {
	w.t.Helper()
	before, delay := random.IntN(3) == 0, time.Duration(random.IntN(40))*time.Millisecond
	reached, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	once := sync.OnceFunc(func() { close(reached) })
	w.ca.onRequest(func(e string) {
		if e == endpoint {
			once()
			if before {
				<-release
			}
		}
	})
	w.start()
	ctx, cancel := context.WithCancel(w.ctx)
	over := make(chan struct{})
	go func() {
		if _, err := w.AwaitStatus(ctx, func(s admin.Status) bool {
			return held(certs.ReasonBudget)(s) || have(s) && !s.Sites[0].Certificate.NextAttempt.IsZero()
		}); err == nil {
			close(over)
		}
	}()
	defer cancel()
	killed := true
	select {
	case <-reached:
		if !before {
			<-time.After(delay) // the moment is to be a random one
		}
	case <-over:
		killed = false
	case <-w.ctx.Done():
		w.t.Fatalf("no request to %s came", endpoint)
	}
	w.kill()
	w.ca.onRequest(nil)
	return killed
}

// stored tells whether there is a whole certificate on disk. It comes in one piece
// first, as .next, which goes when all its parts are there.
func (w *world) stored() bool {
	for _, pattern := range []string{"*.next", "*.json"} {
		found, _ := filepath.Glob(filepath.Join(w.state(), "certificates", "*", w.Domain, pattern))
		if len(found) > 0 {
			return true
		}
	}
	return false
}

// again starts wellkey after a kill, waits for the key, and checks what is promised of
// that. Where it took longer, the same start is made once more, from a copy of what the
// kill left: on a busy machine it may be we who got no processor, while a lock that was
// left behind, say, which is not judged by the clock, costs either.
func (w *world) again(settings ...string) (took time.Duration) {
	w.t.Helper()
	left := w.t.TempDir()
	w.copyAll(w.DataDir, left)
	start := func() time.Duration {
		began := time.Now()
		w.start(settings...)
		return w.watcher.up(began)
	}
	if took = start(); took > startPromise {
		w.kill()
		restore(w.t, w.DataDir, nil)
		w.copyAll(left, w.DataDir)
		took = min(took, start())
	}
	if took > startPromise {
		w.t.Errorf("nobody was served for %v after a kill, from a copy of what it left, too; want %v at most", took, startPromise)
	}
	return took
}

// copyAll copies all that is in a directory, empty directories and modes included.
func (w *world) copyAll(from, to string) {
	w.t.Helper()
	if out, err := exec.CommandContext(w.ctx, "cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		w.t.Fatalf("copying %s: %v\n%s", from, err, out)
	}
}

var timestamp = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`)

// age makes what wellkey noted of its orders older, as if time had passed.
func (w *world) age(d time.Duration) {
	w.t.Helper()
	for name, data := range snapshot(w.t, filepath.Join(w.state(), "issuance")) {
		aged := timestamp.ReplaceAllStringFunc(string(data), func(text string) string {
			at, err := time.Parse(time.RFC3339Nano, strings.Trim(text, `"`))
			must(w.t, err)
			return `"` + at.Add(-d).Format(time.RFC3339Nano) + `"`
		})
		must(w.t, os.WriteFile(filepath.Join(w.state(), "issuance", name), []byte(aged), 0o600))
	}
}

// TestKilledOnAVolume: with a data directory that lasts, 30 kills and starts cost
// one order.
func TestKilledOnAVolume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mountVolume()
	w.start(w.production())
	w.await("the first certificate", have)
	w.watcher.served()
	var longest time.Duration
	for range 30 {
		w.goOn()
		w.kill()
		longest = max(longest, w.again(w.production()))
	}
	t.Logf("after a start, nobody was served for %v at most", longest.Round(time.Millisecond))
	if n := w.ca.count(testca.NewOrderPath); n != 1 {
		t.Errorf("%d orders, want 1", n)
	}
}

// TestStartedOnTmpfs: without a data directory that lasts, 30 starts cost no
// order, since each would cost one.
func TestStartedOnTmpfs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 30 {
		w.goOn()
		mountTmpfs(t, w.DataDir, 1024)
		w.start(w.production())
		status := w.settled()
		if last := status.Sites[0].Certificate.LastError; last == nil || last.Reason != certs.ReasonEphemeral || !strings.Contains(last.Fix, "allow_ephemeral_storage") {
			t.Fatalf("got %+v, want what to do", last)
		}
		w.kill()
		must(t, syscall.Unmount(w.DataDir, 0))
	}
	if n := w.ca.count(); n != 0 {
		t.Errorf("%d requests to the CA, want none", n)
	}
	mountTmpfs(t, w.DataDir, 1024)
	w.watcher.allow(w.writeKey())
	w.start(w.production(), "ALLOW_EPHEMERAL_STORAGE=true")
	w.await("a certificate", have)
}

// TestCrashLoop: after three kills in a row, the CA is left alone for a minute.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ca.breaks(away) // no start gets as far as an order
	for range 3 {
		w.start()
		w.settled()
		w.kill()
	}
	w.ca.mends()
	before := w.ca.count()
	first := make(chan time.Time, 1)
	w.ca.onRequest(func(string) {
		select {
		case first <- time.Now():
		default:
		}
	})
	began := time.Now()
	w.start()
	status := w.settled()
	if last := status.Sites[0].Certificate.LastError; last == nil || last.Reason != certs.ReasonCrashLoop || w.ca.count() != before {
		t.Errorf("got %+v, want that it waits", last)
	}
	select {
	case at := <-first:
		if at.Sub(began) < time.Minute {
			t.Errorf("the CA was asked %v after the start, want a minute", at.Sub(began))
		}
	case <-w.ctx.Done():
		t.Fatal("the CA was never asked again")
	}
}
