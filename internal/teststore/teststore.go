// Package teststore starts the real servers of shared stores for tests: Redis,
// its Sentinel and Cluster, and PostgreSQL, from the programs of the system, on
// free ports of loopback and in directories of their own. It stops them by
// process id when the test ends.
package teststore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"wellkey/internal/testhost"
)

// patience is how long a server may take to start or to stop, on a busy machine.
const patience = 3 * time.Minute

// A process is a server that runs. A test uses it from one goroutine.
type process struct {
	t      testing.TB
	args   []string // the program first
	attr   *syscall.SysProcAttr
	ready  func() error // nil once it answers
	signal syscall.Signal
	cmd    *exec.Cmd
	exited chan struct{}
	output lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// Start starts it again after Stop or Kill, at the same place, and waits until it
// answers.
func (p *process) Start() {
	p.t.Helper()
	p.cmd = exec.Command(p.args[0], p.args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = &p.output, &p.output, p.attr
	p.cmd.Dir = "/"
	p.exited = make(chan struct{})
	started := make(chan error)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		// The kernel ends the server with this thread, so that none is left
		// where the test is killed.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // A signal ended it.
		}
	}(p.cmd, p.exited)
	if err := <-started; err != nil {
		p.t.Fatalf("starting %s, which comes in Debian's packages redis-server and postgresql: %v", p.args[0], err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := p.ready()
		if err == nil {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.exited:
			p.t.Fatalf("%s ended:\n%s", p.args[0], &p.output)
		case <-ctx.Done():
			p.t.Fatalf("%s does not answer (%v):\n%s", p.args[0], err, &p.output)
		}
	}
}

// Stop ends it in its own way, and waits for that.
func (p *process) Stop() { p.end(p.signal) }

// Kill ends it as a power failure does.
func (p *process) Kill() { p.end(syscall.SIGKILL) }

func (p *process) end(signal syscall.Signal) {
	p.t.Helper()
	select {
	case <-p.exited:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // else it does not listen
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("ending %s: %v", p.args[0], err)
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		p.t.Errorf("%s had to be killed:\n%s", p.args[0], &p.output)
	}
}

// Pause makes it hang until Resume: it takes connections, and never answers.
func (p *process) Pause() { p.send(syscall.SIGSTOP) }

// Resume undoes Pause.
func (p *process) Resume() { p.send(syscall.SIGCONT) }

func (p *process) send(signal syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatalf("signalling %s: %v", p.args[0], err)
	}
}

// freeAddr returns an address of loopback that is the caller's, and its parts.
func freeAddr(t testing.TB) (addr, host, port string) {
	t.Helper()
	addr, err := testhost.Addr()
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ = net.SplitHostPort(addr)
	return addr, host, port
}

// tempDir makes a directory that another user may own, below which t.TempDir
// would not let him.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "teststore-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing %s: %v", dir, err)
		}
	})
	return dir
}

// say sends a line to a Redis and returns the first line of its answer.
func say(addr, line string) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience)) // a fresh connection takes one
	if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
		return "", err
	}
	answer := make([]byte, 4<<10)
	n, err := conn.Read(answer)
	return string(answer[:n]), err
}
