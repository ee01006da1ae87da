package storage

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// look finds out where dir is.
func look(dir string) (place, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return place{}, err
	}
	var system unix.Statfs_t
	if err := unix.Statfs(real, &system); err != nil {
		return place{}, &os.PathError{Op: "statfs", Path: real, Err: err}
	}
	p := place{dir: real, container: inContainer()}
	switch uint32(system.Type) { // #nosec G115 -- 32 bits in a type that differs between machines
	case unix.TMPFS_MAGIC:
		p.kind = "tmpfs"
	case unix.RAMFS_MAGIC:
		p.kind = "ramfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		p.kind = "overlay"
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	p.mounts = parseMounts(string(text))
	return p, err
}

// inContainer tells whether Docker, Podman or Kubernetes started us, by what
// they leave for that purpose.
func inContainer() bool {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return os.Getenv("KUBERNETES_SERVICE_HOST") != ""
}
