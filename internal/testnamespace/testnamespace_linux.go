// Package testnamespace gives tests and measurements namespaces of their own in the
// kernel, so that what they mount and which addresses they have nobody else sees. A
// Go program cannot enter one as a whole, since it has threads: it is run again.
package testnamespace

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Again runs this program again, with its arguments, in new namespaces: flags are
// those of unshare(2). The variable tells it that it is there. When ctx is done, or
// this process is killed, it gets the signal. Again returns its exit code, 1 if a
// signal has ended it; the error is that of a kernel that gives no namespace, which
// mostly wants root.
func Again(ctx context.Context, flags uintptr, variable string, signal syscall.Signal) (code int, err error) {
	runtime.LockOSThread() // the child dies with this thread
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: flags, Pdeathsig: signal}
	cmd.Cancel = func() error { return cmd.Process.Signal(signal) }
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return 1, err
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 1, nil
}

// Mounts has a command mount what nobody else sees. Whoever is not root is root in
// it, where the kernel lets users be that.
func Mounts() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return attr
}
