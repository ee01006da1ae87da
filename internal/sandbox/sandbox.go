// Package sandbox takes from the process what it does not need, once it has
// started: new privileges for good, and, with Linux's landlock, all files but those
// that it names. Whoever gets hold of the process then gets no further than the
// process itself would.
//
// A rule of landlock belongs to a file or directory, not to a name. A file that is
// replaced, as editors, Kubernetes and certbot do it, is another one, so what is
// read is named by the directories around it: see Around.
package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Config says what the process may do with files.
type Config struct {
	// Read are the directories and files that may be read, with all below them. Nil
	// leaves everything readable.
	Read []string
	// Write are those that may be read and written. What is not there is passed over.
	Write []string
}

// A Status says what is in force.
type Status struct {
	NoNewPrivileges bool   // no program that is started gets more rights than we have
	Reads, Writes   bool   // landlock bounds what is read, and what is written
	ABI             int    // landlock's version in this kernel; 0 = none
	Reason          string // why landlock bounds nothing; "" where it does
	Fix             string // what to do about Reason; "" where there is nothing
}

// Apply puts all threads of the process, and whatever it starts, into the sandbox,
// for good. It does what the kernel has, and never fails: what is in force stands
// in the Status.
func Apply(c Config) Status { return apply(c) }

// GiveUpPrivileges is Apply without landlock.
func GiveUpPrivileges() Status { return giveUpPrivileges() }

// ReadFor returns what a Go program reads that verifies certificates, looks up
// names, and tells of itself: the system's own files, and what links among them
// lead to. environ has the form of os.Environ.
func ReadFor(environ []string) []string {
	paths := []string{
		// Libraries' data: roots, time zones.
		"/usr",
		// Names, roots, users. The whole of it, since resolv.conf is replaced whenever
		// a network comes or goes.
		"/etc",
		// Ourselves, and whether the owner of a lock lives.
		"/proc", "/sys/fs/cgroup",
	}
	paths = append(paths,
		Around("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/localtime",
			"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem")...)
	// Where resolv.conf leads to, or may some day.
	paths = append(paths, "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman")
	for _, e := range environ {
		switch name, value, _ := strings.Cut(e, "="); name {
		case "SSL_CERT_FILE":
			paths = append(paths, Around(value)...)
		case "SSL_CERT_DIR":
			paths = append(paths, strings.Split(value, ":")...)
		}
	}
	return tidy(paths)
}

// Around returns the directories that hold the files at paths, at each step where
// a symbolic link leads elsewhere; so whatever replaces a file or a link there is
// covered, too. Empty paths are passed over.
func Around(paths ...string) []string {
	var dirs []string
	for _, path := range paths {
		if path == "" {
			continue
		}
		path, err := filepath.Abs(path)
		if err != nil {
			continue // there is no working directory: nothing relative can be read either
		}
		// As many links as the kernel follows.
		for range 40 {
			dirs = append(dirs, filepath.Dir(path))
			if real, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
				dirs = append(dirs, real)
			}
			target, err := os.Readlink(path)
			if err != nil {
				break
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(path), target)
			}
			path = target
		}
	}
	return tidy(dirs)
}

// Existing returns the nearest directory to path that is there: path itself or one
// above it.
func Existing(path string) string {
	for {
		_, err := os.Stat(path)
		parent := filepath.Dir(path)
		if parent == path || !errors.Is(err, fs.ErrNotExist) {
			return path
		}
		path = parent
	}
}

// tidy sorts paths, and takes out what stands twice or below another one.
func tidy(paths []string) []string {
	slices.Sort(paths)
	var kept []string
	for _, p := range paths {
		if p != "" && !slices.ContainsFunc(kept, func(k string) bool { return p == k || strings.HasPrefix(p, strings.TrimSuffix(k, "/")+"/") }) {
			kept = append(kept, p)
		}
	}
	return kept
}
