//go:build unix && !linux

package teststore

import "syscall"

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
