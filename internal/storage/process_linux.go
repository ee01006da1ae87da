package storage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// thisProcess describes the process that we are. What cannot be read is empty.
func thisProcess() process {
	p := process{PID: os.Getpid()}
	p.Host, _ = os.Hostname()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	p.Boot = strings.TrimSpace(string(boot))
	p.Namespace, _ = os.Readlink("/proc/self/ns/pid")
	p.Start, _ = started(p.PID)
	return p
}

// running tells whether p, of our own machine and PID namespace, still runs.
func (p process) running() bool {
	start, ok := started(p.PID)
	return ok && start == p.Start
}

// started returns when the process began, and whether it runs (proc_pid_stat(5)).
func started(pid int) (ticks uint64, running bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name, in brackets, may hold anything. State is the 1st field after it.
	_, after, _ := cutLast(string(stat), ") ")
	fields := strings.Fields(after)
	if len(fields) < 20 || strings.Contains("ZXx", fields[0]) {
		return 0, false
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return ticks, err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
