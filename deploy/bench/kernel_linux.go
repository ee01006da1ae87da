package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the processor time that a process has used, with all its threads,
// those that have ended included. It is the clock of the process, to the nanosecond:
// /proc/PID/stat counts in 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED of the kernel's posix-timers.h
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("reading the clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// onCore calls f on a thread that is bound to a core. A process that f starts
// inherits that.
func onCore(core int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	only.Set(core)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("binding to core %d: %w", core, err)
	}
	err := f()
	if back := unix.SchedSetaffinity(0, &before); back != nil {
		return back
	}
	return err
}

// pin binds this process to a core. Threads inherit it from the one that starts them,
// so it goes through them until there is no new one.
func pin(core int) error {
	var only unix.CPUSet
	only.Set(core)
	bound := map[int]bool{}
	for {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		news := false
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil || bound[id] {
				continue
			}
			if err := unix.SchedSetaffinity(id, &only); err != nil && err != unix.ESRCH {
				return fmt.Errorf("binding to core %d: %w", core, err)
			}
			bound[id], news = true, true
		}
		if !news {
			return nil
		}
	}
}

// dieWithUs has the kernel stop the process of cmd when this one is killed.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }

// established reports whether the other side of a TCP connection has not closed it.
func established(conn syscall.Conn) (bool, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, err
	}
	const tcpEstablished = 1 // of the kernel's tcp_states.h
	var info *unix.TCPInfo
	var failed error
	err = raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err != nil || failed != nil {
		return false, errors.Join(err, failed)
	}
	return info.State == tcpEstablished, nil
}

// kernel returns the name of the kernel.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
}
