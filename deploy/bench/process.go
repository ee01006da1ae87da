package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"wellkey/internal/pause"
)

// The cores that server and client are bound to.
const (
	serverCore = 0
	clientCore = 1
)

// A process is a server that is measured, with the processes that it has started.
type process struct {
	cmd    *exec.Cmd
	began  time.Time
	log    *tail
	exited chan struct{}
	err    error // of Wait, after exited is closed
}

// launch starts a server on its core. The caller stops it. Should this process be
// killed, the kernel stops the server.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, log: new(tail), exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	dieWithUs(cmd)
	if err := onCore(serverCore, func() error {
		p.began = time.Now()
		return cmd.Start()
	}); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(cmd.Path), err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stopPatience is how long a server may take to stop before it is killed.
const stopPatience = 10 * time.Second

// stop stops the server and all that it has started.
func (p *process) stop() {
	pids := p.pids()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // one that has ended gets none
	select {
	case <-p.exited:
		return
	case <-time.After(stopPatience):
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // likewise
	}
	<-p.exited
}

// pids returns the processes that the server consists of: nginx has a worker.
func (p *process) pids() []int {
	own := p.cmd.Process.Pid
	pids := []int{own}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", own)) // none: it has ended
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // likewise
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cpu returns how much processor time the server has used.
func (p *process) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range p.pids() {
		used, err := cpuTime(pid)
		if err != nil {
			return 0, p.ended(err)
		}
		sum += used
	}
	return sum, nil
}

// ended says what a server said that has ended, where err comes from that.
func (p *process) ended(err error) error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s has ended: %w\n%s", filepath.Base(p.cmd.Path), errors.Join(p.err, err), p.log)
	default:
		return err
	}
}

// pss returns the memory of the server in bytes: its own, and of what is shared with
// others its part.
func (p *process) pss() (float64, error) {
	var sum float64
	for _, pid := range p.pids() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, p.ended(err)
		}
		kib, err := pssOf(text)
		if err != nil {
			return 0, err
		}
		sum += kib * 1024
	}
	return sum, nil
}

// pssOf reads the text of smaps_rollup.
func pssOf(text []byte) (kib float64, err error) {
	for line := range bytes.Lines(text) {
		if words := strings.Fields(string(line)); len(words) == 3 && words[0] == "Pss:" {
			return strconv.ParseFloat(words[1], 64)
		}
	}
	return 0, errors.New("the kernel does not say how much memory it is")
}

// shortLook is long enough where a server does one thing after its start.
const shortLook = 250 * time.Millisecond

// settle waits until the server has had nothing to do for look, or has had enough
// time for it.
func (p *process) settle(ctx context.Context, look, patience time.Duration) error {
	quiet := look / 50
	limit := time.Now().Add(patience)
	last, err := p.cpu()
	for err == nil && time.Now().Before(limit) {
		if err = pause.For(ctx, look); err != nil {
			return err
		}
		var now time.Duration
		if now, err = p.cpu(); now-last < quiet {
			return err
		}
		last = now
	}
	return err
}

// A tail keeps the last lines of what a server says.
type tail struct {
	mu   sync.Mutex
	text []byte    // guarded by mu
	at   time.Time // guarded by mu; of "sites loaded", which wellkey says
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const kept = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if t.at.IsZero() && bytes.Contains(t.text, []byte(`"sites loaded"`)) { // it may come in two pieces
		t.at = time.Now()
	}
	if more := len(t.text) - kept; more > 0 {
		t.text = append([]byte(nil), t.text[more:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// loaded returns when wellkey had read all sites; zero = it has not.
func (t *tail) loaded() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at
}
