//go:build !linux

package storage

import "os"

// thisProcess describes the process that we are. Without the name of the boot
// others judge its locks by their lease.
func thisProcess() process {
	host, _ := os.Hostname()
	return process{Host: host, PID: os.Getpid()}
}

func (p process) running() bool { return true }
