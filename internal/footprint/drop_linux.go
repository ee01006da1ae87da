package footprint

import (
	"errors"
	"os"
	"reflect"

	"golang.org/x/sys/unix"
)

// Drop tells the kernel that no page of the program's file is needed now. The pages
// stay in the kernel's cache of the file, and come back one by one, without the
// disk, when they are needed; only where memory is short does the kernel now find
// them sooner. So it is worth while once, when the start is over. It takes a
// millisecond at the most.
//
// See madvise(2), MADV_DONTNEED: of private mappings of a file, the next access
// brings what is in the file.
func Drop() error { return drop(reflect.ValueOf(Drop).Pointer()) }

// drop is Drop for the file that lies at an address.
func drop(at uintptr) error {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range clean(smaps, at) {
		if _, _, failed := unix.Syscall(unix.SYS_MADVISE, s.start, s.end-s.start, unix.MADV_DONTNEED); failed != 0 {
			errs = append(errs, os.NewSyscallError("madvise", failed))
		}
	}
	return errors.Join(errs...)
}
