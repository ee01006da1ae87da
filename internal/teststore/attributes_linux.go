package teststore

import "syscall"

// attributes has the kernel end a server when its test ends, however it ends.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
