package main

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// foreignTime returns the processor time that was used on this machine by others than
// this process, what it has waited for, and the servers; with what the host took.
func foreignTime(servers []*running) (time.Duration, error) {
	busy, err := busyTime()
	if err != nil {
		return 0, err
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var used syscall.Rusage
		if err := syscall.Getrusage(who, &used); err != nil {
			return 0, err
		}
		busy -= time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	seen := map[*process]bool{} // one may have two names
	for _, r := range servers {
		if seen[r.process] {
			continue
		}
		seen[r.process] = true
		used, err := r.cpu()
		if err != nil {
			return 0, err
		}
		busy -= used
	}
	return busy, nil
}

// busyTime returns how long the processors have been busy since the start. The
// controller of cgroup v1 counts in nanoseconds; /proc/stat looks at each tick.
func busyTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	ticked, stolen, err := statOf(string(text))
	if err != nil {
		return 0, err
	}
	exact, err := os.ReadFile("/sys/fs/cgroup/cpuacct/cpuacct.usage")
	if err == nil {
		if ns, err := strconv.ParseInt(strings.TrimSpace(string(exact)), 10, 64); err == nil {
			return time.Duration(ns) + stolen, nil
		}
	}
	return ticked + stolen, nil
}

// statOf reads the first line of /proc/stat: user, nice, system, idle, iowait, irq,
// softirq, steal.
func statOf(text string) (busy, stolen time.Duration, err error) {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every platform of today
	line, _, _ := strings.Cut(text, "\n")
	words := strings.Fields(line)
	if len(words) < 9 || words[0] != "cpu" {
		return 0, 0, errors.New("/proc/stat does not begin with the sum of all processors")
	}
	for i, word := range words[1:9] {
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		switch i {
		case 3, 4: // idle
		case 7:
			stolen = time.Duration(n) * tick
		default:
			busy += time.Duration(n) * tick
		}
	}
	return busy, stolen, nil
}
