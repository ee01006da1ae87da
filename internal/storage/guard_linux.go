package storage

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openGuard returns the guard of that key, held; nil if the file system has no
// flock; errBusy if somebody else has it.
func (d *Directory) openGuard(key string) (*guard, error) {
	path := d.under(key)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return nil, d.moveLock(key, "a lock that is not a file")
	}
	if err != nil {
		return nil, err
	}
	g, err := flock(f)
	if g == nil {
		_ = f.Close() // Nothing was written.
	}
	return g, err
}

func flock(f *os.File) (*guard, error) {
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errBusy
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL):
		return nil, nil
	case err != nil:
		return nil, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	mine, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if now, err := os.Lstat(f.Name()); err != nil || !os.SameFile(mine, now) {
		return nil, errBusy // Its last owner has just deleted it.
	}
	var stat unix.Stat_t
	var system unix.Statfs_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &stat), unix.Fstatfs(int(f.Fd()), &system)); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return &guard{file: f, path: f.Name(), inode: stat.Ino, local: localFileSystems[uint32(system.Type)]}, nil // #nosec G115 -- 32 bits in a type that differs between machines
}

// localFileSystems are those that one kernel mounts at a time (statfs(2), and
// zfs and bcachefs from their sources).
var localFileSystems = map[uint32]bool{
	unix.EXT4_SUPER_MAGIC:      true,
	unix.XFS_SUPER_MAGIC:       true,
	unix.BTRFS_SUPER_MAGIC:     true,
	unix.F2FS_SUPER_MAGIC:      true,
	unix.TMPFS_MAGIC:           true,
	unix.RAMFS_MAGIC:           true,
	unix.OVERLAYFS_SUPER_MAGIC: true,
	unix.MSDOS_SUPER_MAGIC:     true,
	unix.EXFAT_SUPER_MAGIC:     true,
	unix.REISERFS_SUPER_MAGIC:  true,
	unix.NILFS_SUPER_MAGIC:     true,
	0x2fc12fc1:                 true, // zfs
	0xca451a4e:                 true, // bcachefs
	0x24051905:                 true, // ubifs
	0x3153464a:                 true, // jfs
}
