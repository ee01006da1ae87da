package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"wellkey/internal/pause"
	"wellkey/internal/testworld"
)

// A process is a wellkey that is measured.
type process struct {
	cmd    *exec.Cmd
	began  time.Time
	admin  string
	log    *log
	exited chan error
}

// start starts the binary with the settings of the world and the directory of
// sites. The caller stops it.
func start(w *testworld.World, binary, sitesDir string, more ...string) (*process, error) {
	cmd := exec.Command(binary, "serve")
	cmd.Env = append([]string{"HOME=" + w.DataDir}, w.Environ(append([]string{"DOMAIN", "CREDENTIALS_FILE", "SITES_DIR=" + sitesDir}, more...)...)...)
	p := &process{cmd: cmd, admin: w.AdminAddr, log: newLog(), exited: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	p.began = time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { p.exited <- cmd.Wait() }()
	return p, nil
}

// stop stops it as a service manager does, and returns how long that took. One that
// does not end within patience is killed, which is an error.
func (p *process) stop(patience time.Duration) (time.Duration, error) {
	began := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that has ended gets none
	select {
	case err := <-p.exited:
		if err != nil {
			err = fmt.Errorf("wellkey ended: %w\n%s", err, p.log.tail())
		}
		return time.Since(began), err
	case <-time.After(patience):
		_ = p.cmd.Process.Kill() // see above
		<-p.exited
		return 0, fmt.Errorf("wellkey did not stop within %v\n%s", patience, p.log.tail())
	}
}

// until calls look until it returns true. The error says what was awaited.
func until(ctx context.Context, patience time.Duration, what string, look func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// share returns how much memory of the process is its own, in bytes, with its part of
// what it shares with others: its PSS.
func (p *process) share() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if words := strings.Fields(string(line)); len(words) == 3 && words[0] == "Pss:" {
			kib, err := strconv.ParseFloat(words[1], 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("the kernel does not say what the part of the process is")
}

// ticksPerSecond is the unit of /proc/PID/stat, on every platform of Linux's today.
const ticksPerSecond = 100

// cpu returns how much processor time the process has used.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), ") ") // the name of the program may have spaces
	words := strings.Fields(after)
	if len(words) < 13 {
		return 0, errors.New("reading processor time: too few fields")
	}
	user, err := strconv.Atoi(words[11])
	system, also := strconv.Atoi(words[12])
	return time.Duration(user+system) * time.Second / ticksPerSecond, errors.Join(err, also)
}

// idle returns which part of a processor the process uses while nobody visits.
func (p *process) idle(ctx context.Context, during time.Duration) (float64, error) {
	before, err := p.cpu()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := pause.For(ctx, during); err != nil {
		return 0, err
	}
	after, err := p.cpu()
	return (after - before).Seconds() / time.Since(began).Seconds(), err
}

// A scrape is what Prometheus would get.
type scrape struct {
	took       time.Duration
	bytes      int
	goroutines float64
	allocated  float64 // bytes since the start
	heap       float64 // bytes in use
}

// scrape gets the metrics.
func (p *process) scrape(ctx context.Context, patience time.Duration) (s scrape, err error) {
	began := time.Now()
	body, err := p.get(ctx, "/metrics", patience)
	if err != nil {
		return s, err
	}
	s.took, s.bytes = time.Since(began), len(body)
	into := map[string]*float64{"go_goroutines": &s.goroutines, "go_memstats_alloc_bytes_total": &s.allocated, "go_memstats_heap_inuse_bytes": &s.heap}
	err = testworld.EachSeries(body, func(name string, value float64) {
		if into[name] != nil {
			*into[name] = value
		}
	})
	if err != nil {
		return s, err
	}
	if s.goroutines == 0 || s.allocated == 0 {
		return s, errors.New("the metrics do not say how many goroutines there are")
	}
	return s, nil
}

// get gets a path of the admin listener.
func (p *process) get(ctx context.Context, path string, patience time.Duration) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, Timeout: patience}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if path == "/metrics" {
		req.Header.Set("Accept", "text/plain")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing was written
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("getting %s: status %d", path, resp.StatusCode)
	}
	return body, err
}

// A log counts lines of the log by what they say, and keeps the last ones: a
// hundred thousand sites say more than anybody would read.
type log struct {
	seen atomic.Int64 // "key reachable from outside"

	mu       sync.Mutex
	loadedAt time.Time // guarded by mu; of "sites loaded"
	rest     []byte    // guarded by mu; the last bytes
}

func newLog() *log { return new(log) }

// logKept is how many bytes are kept of the log.
const logKept = 4 << 10

// Write implements io.Writer. Wellkey writes each line at once.
func (l *log) Write(text []byte) (int, error) {
	l.seen.Add(int64(bytes.Count(text, []byte(`"key reachable from outside"`))))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loadedAt.IsZero() && bytes.Contains(text, []byte(`"sites loaded"`)) {
		l.loadedAt = time.Now()
	}
	l.rest = append(l.rest, text...)
	if more := len(l.rest) - logKept; more > 0 {
		l.rest = append([]byte(nil), l.rest[more:]...)
	}
	return len(text), nil
}

// loaded returns when all sites were read; zero = they are not.
func (l *log) loaded() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loadedAt
}

func (l *log) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.rest)
}
