package testworld

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// A Process is a wellkey that runs in a process of its own, for what a Run
// cannot bear: kills and signals.
type Process struct {
	Log    *Log
	cmd    *exec.Cmd
	exited chan struct{}
	code   int // after exited is closed; -1 if a signal ended it
}

// Exec starts program with the argument "serve" and, besides environ, the
// settings of Environ. The caller sees to it that it ends.
func (w *World) Exec(program string, environ []string, more ...string) (*Process, error) {
	return w.run(exec.Command(program, "serve"), environ, more...)
}

// ExecWith is Exec with sockets that the process inherits as from a service
// manager, under these names. They stay open here.
func (w *World) ExecWith(sockets []*os.File, names, program string, environ []string, more ...string) (*Process, error) {
	// The process must be told its own id, which a shell keeps when it becomes it.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, program)
	cmd.ExtraFiles = sockets
	return w.run(cmd, append(environ, "LISTEN_FDS="+strconv.Itoa(len(sockets)), "LISTEN_FDNAMES="+names), more...)
}

func (w *World) run(cmd *exec.Cmd, environ []string, more ...string) (*Process, error) {
	p := &Process{Log: NewLog(), cmd: cmd, exited: make(chan struct{})}
	p.cmd.Env = append(environ, w.Environ(more...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.Log, p.Log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %q: %w", cmd.Path, err)
	}
	go func() {
		defer close(p.exited)
		defer p.Log.end()
		if err := p.cmd.Wait(); err != nil {
			p.code = -1
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				p.code = exit.ExitCode()
			}
		}
	}()
	return p, nil
}

// Pid returns the id of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends it a signal. One that has ended already gets none.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Wait returns the exit code when it has ended; -1 if a signal ended it.
func (p *Process) Wait() int {
	<-p.exited
	return p.code
}
