package dns01

import (
	"os/exec"
	"syscall"
)

// alone puts the program into a process group of its own, so that what it started
// is ended with it, and a Ctrl-C that is meant for us does not reach it.
func alone(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
