//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

var errNotLinux = errors.New("the comparison needs Linux: it binds processes to cores and reads their clocks")

func cpuTime(int) (time.Duration, error)     { return 0, errNotLinux }
func onCore(int, func() error) error         { return errNotLinux }
func pin(int) error                          { return errNotLinux }
func established(syscall.Conn) (bool, error) { return false, errNotLinux }
func kernel() string                         { return runtime.GOOS }
func dieWithUs(*exec.Cmd)                    {}
