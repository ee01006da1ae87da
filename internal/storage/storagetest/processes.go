package storagetest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a worker process is told.
const (
	roleVariable    = "WELLKEY_STORAGETEST_ROLE"
	addressVariable = "WELLKEY_STORAGETEST_ADDRESS"

	roleCount = "count" // 3 goroutines, each counting 10 times
	roleHold  = "hold"  // lock, say so, wait for the end of the input, unlock
	roleGuard = "guard" // guard, say so, wait for the end of the input, write
	ready     = "storagetest: ready"
)

// work is what a worker process does.
func (b Backend) work(t *testing.T, role string) {
	s := b.Open(t, os.Getenv(addressVariable))
	switch role {
	case roleCount:
		var group sync.WaitGroup
		for range 3 {
			group.Go(func() {
				for range 10 {
					for _, step := range []func() error{
						func() error { return s.Lock(t.Context(), "counter") },
						func() error { return count(t.Context(), s) },
						func() error { return s.Unlock(t.Context(), "counter") },
					} {
						if err := step(); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		group.Wait()
	case roleHold:
		check(t, s.Lock(t.Context(), "l"))
		_, err := os.Stdout.WriteString(ready + "\n")
		check(t, err)
		_, err = io.Copy(io.Discard, os.Stdin)
		check(t, err)
		check(t, s.Unlock(t.Context(), "l"))
	case roleGuard:
		b.workGuarded(t, s)
	default:
		t.Fatalf("no such role: %q", role)
	}
}

// A worker is a process of ours.
type worker struct {
	command *exec.Cmd
	input   io.Closer // closing it ends roleHold
	output  *bufio.Reader
	stderr  bytes.Buffer
}

func start(t *testing.T, address, role string) *worker {
	t.Helper()
	test, _, _ := strings.Cut(t.Name(), "/")
	w := &worker{command: exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(test)+"$", "-test.timeout=5m")}
	w.command.Env = append(os.Environ(), roleVariable+"="+role, addressVariable+"="+address,
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // -race takes a second to end, else
	w.command.Stderr = &w.stderr
	input, err := w.command.StdinPipe()
	check(t, err)
	output, err := w.command.StdoutPipe()
	check(t, err)
	w.input, w.output = input, bufio.NewReader(output)
	check(t, w.command.Start())
	return w
}

// awaitReady returns once the worker has said that it holds the lock.
func (w *worker) awaitReady(t *testing.T) {
	t.Helper()
	for {
		line, err := w.output.ReadString('\n')
		if strings.TrimSpace(line) == ready {
			return
		}
		if err != nil {
			t.Fatalf("worker: %v, after %q; %s", err, line, &w.stderr)
		}
	}
}

// wait returns once the worker has ended well.
func (w *worker) wait(t *testing.T) {
	t.Helper()
	rest, err := io.ReadAll(w.output)
	check(t, err)
	if err := w.command.Wait(); err != nil {
		t.Errorf("worker: %v\n%s%s", err, rest, &w.stderr)
	}
}

func (w *worker) kill(t *testing.T) {
	t.Helper()
	check(t, w.command.Process.Kill())
	_ = w.command.Wait() // It was killed.
}

func testProcesses(t *testing.T, b Backend) {
	address := b.New(t)
	s := b.Open(t, address)
	check(t, s.Store(t.Context(), "counter", []byte("0")))
	var workers []*worker
	for range 3 {
		workers = append(workers, start(t, address, roleCount))
	}
	for _, w := range workers {
		w.wait(t)
	}
	wantValue(t, s, "counter", "90")
}

func testOutlives(t *testing.T, b Backend) {
	address := b.New(t)
	w := start(t, address, roleHold)
	w.awaitReady(t)
	s := b.Open(t, address)
	ctx, cancel := context.WithTimeout(t.Context(), 2*b.Lease)
	defer cancel()
	wantError(t, "Lock while another process holds it for 2 leases", s.Lock(ctx, "l"), context.DeadlineExceeded)
	check(t, w.input.Close())
	check(t, s.Lock(t.Context(), "l"))
	check(t, s.Unlock(t.Context(), "l"))
	w.wait(t)
}

func testKilled(t *testing.T, b Backend) {
	address := b.New(t)
	w := start(t, address, roleHold)
	w.awaitReady(t)
	s := b.Open(t, address)
	wantTry(t, s, "l", false)
	w.kill(t)
	began := time.Now()
	check(t, s.Lock(t.Context(), "l"))
	if took := time.Since(began); took > b.Takeover {
		t.Errorf("took over after %v, want at most %v", took, b.Takeover)
	}
	check(t, s.Unlock(t.Context(), "l"))
}
