package sandbox

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The rights of landlock, by what they are for.
const (
	reads  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writes = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | // to move such into quarantine
		unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	// Nobody gets these. Where programs are started, there is no sandbox.
	never = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// ofFiles are those that a rule for something other than a directory may have.
	ofFiles = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// known returns the rights that a version of landlock has. Before version 2 no file
// can be moved from one directory to another, which quarantine needs; so that is
// no landlock for us.
func known(abi int) uint64 {
	all := uint64(reads | writes | never)
	if abi < 3 {
		all &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi < 5 {
		all &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	return all
}

// A rule is what may be done with a path and all below it.
type rule struct {
	path   string
	rights uint64
}

// rules returns the rights that the kernel is to watch over, and who gets them.
func rules(c Config, abi int) (handled uint64, all []rule) {
	handled = known(abi)
	if c.Read == nil {
		handled &^= reads
	}
	for _, path := range c.Read {
		all = append(all, rule{path, handled & reads})
	}
	for _, path := range c.Write {
		all = append(all, rule{path, handled & (reads | writes)})
	}
	return handled, all
}

// kernel is what is asked of Linux, so that a test can be another one.
type kernel struct {
	abi     func() (int, error)
	confine func(handled uint64, all []rule) error
	noMore  func() error
}

func apply(c Config) Status {
	return kernel{abi: landlockABI, confine: confine, noMore: noNewPrivileges}.apply(c)
}

func giveUpPrivileges() Status { return kernel{noMore: noNewPrivileges}.giveUp() }

func (k kernel) giveUp() (s Status) {
	err := k.noMore()
	s.NoNewPrivileges = err == nil
	if err != nil { // without it landlock refuses
		s.Reason, s.Fix = why(err)
	}
	return s
}

func (k kernel) apply(c Config) Status {
	s := k.giveUp()
	if !s.NoNewPrivileges {
		return s
	}
	var err error
	if s.ABI, err = k.abi(); err != nil {
		s.Reason, s.Fix = why(err)
		return s
	}
	if s.ABI < 2 {
		s.Reason, s.Fix = "the kernel's landlock is too old to move files between directories: it is there from Linux 5.19 on", newKernel
		return s
	}
	handled, all := rules(c, s.ABI)
	if err := k.confine(handled, all); err != nil {
		s.Reason, s.Fix = why(err)
		return s
	}
	s.Reads, s.Writes = c.Read != nil, true
	return s
}

const newKernel = "Take a kernel from Linux 5.19 on that was built with landlock (CONFIG_SECURITY_LANDLOCK); wellkey works without it."

// why says in words what hinders landlock, and what to do.
func why(err error) (reason, fix string) {
	switch {
	case errors.Is(err, unix.ENOSYS):
		return "the kernel has no landlock: it is there from Linux 5.13 on, where it was built in", newKernel
	case errors.Is(err, unix.EOPNOTSUPP): // ENOTSUP is the same number
		if errors.Is(err, errThreads) {
			return "this program was built with cgo, where Go cannot reach all threads", "Build it with CGO_ENABLED=0, as the releases are."
		}
		return "landlock is switched off on this machine; the kernel's parameter lsm= names what is on",
			"Add landlock to lsm= on the kernel's command line and restart the machine; cat /sys/kernel/security/lsm shows what is on."
	case errors.Is(err, unix.EPERM):
		return "a filter of system calls, such as that of an older container engine, forbids landlock",
			"Take a newer container engine, or allow the system calls that begin with landlock_ in its seccomp profile."
	}
	return "the kernel refuses, and wellkey does not know why: " + err.Error(),
		"Nothing must be done, since wellkey works without it; please report it with the version of the kernel (uname -r). Until then landlock: false saves the attempt."
}

func landlockABI() (int, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, fmt.Errorf("asking for landlock's version: %w", errno)
	}
	return int(v), nil
}

var errThreads = errors.New("changing all threads")

// everywhere makes a system call in every thread of the process.
func everywhere(name string, call, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(call, a, b, c, 0, 0, 0); errno != 0 {
		err := fmt.Errorf("%s: %w", name, errno)
		if errno == syscall.ENOTSUP {
			err = errors.Join(errThreads, err)
		}
		return err
	}
	return nil
}

func noNewPrivileges() error {
	return everywhere("giving up new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
}

// confine makes the rules and puts every thread under them.
func confine(handled uint64, all []rule) error {
	attr := struct{ fs uint64 }{handled}                                                                                   // the first field of a struct that grows from version to version
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0) // #nosec G103 -- how a system call takes a struct
	if errno != 0 {
		return fmt.Errorf("making the rules of landlock: %w", errno)
	}
	defer func() { _ = unix.Close(int(fd)) }() // the threads have it
	for _, r := range all {
		if err := r.add(int(fd)); err != nil {
			return err
		}
	}
	return everywhere("putting the threads under landlock", unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0)
}

// add adds r to the rules. A path that is not there, or that we could not reach
// anyhow, needs none.
func (r rule) add(rules int) error {
	fd, err := unix.Open(r.path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // see above
	}
	defer func() { _ = unix.Close(fd) }() // nothing was written
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("looking at %q: %w", r.path, err)
	}
	rights := r.rights
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFiles
	}
	if rights == 0 {
		return nil
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}                                                                                  // #nosec G115 -- the kernel gives descriptors of 31 bits
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rules), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0); errno != 0 { // #nosec G103 -- how a system call takes a struct
		return fmt.Errorf("adding %q to the rules of landlock: %w", r.path, errno)
	}
	return nil
}
