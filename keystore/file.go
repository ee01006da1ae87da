package keystore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"wellkey/internal/pattern"
	"wellkey/internal/smallfile"
)

// A snapshot is what one look at the key file gave.
type snapshot struct {
	path string
	data []byte      // at most MaxSize+1 bytes; to be wiped
	mode fs.FileMode // permissions
	err  error       // fs.ErrNotExist if there is no file
}

// takeSnapshot reads the file at path. It follows symbolic links, for that is how
// Kubernetes mounts a Secret.
func takeSnapshot(path string) snapshot {
	s := snapshot{path: path}
	s.data, s.mode, s.err = read(path)
	switch {
	case errors.Is(s.err, smallfile.ErrDirectory):
		s.err = errors.New("is a directory; Docker makes one where the file of a bind mount is missing on the host:" +
			" remove the directory there, put the key file in its place, and start again")
	case errors.Is(s.err, smallfile.ErrNotRegular):
		s.err = errors.New("is not a regular file; name the file that holds the key")
	default:
		s.err = unreadable(path, s.err)
	}
	return s
}

// unreadable puts an error of the operating system into the form of all errors of
// a snapshot: the end of the sentence "the file ...".
func unreadable(path string, err error) error {
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return err
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot be read by user %d, as whom wellkey runs: %w; let that user into its directories and run: chown %d %s",
			os.Geteuid(), err, os.Geteuid(), shellWord(path))
	}
	return fmt.Errorf("cannot be read: %w", err)
}

func read(path string) ([]byte, fs.FileMode, error) {
	f, info, err := smallfile.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }() // Nothing was written.
	// A buffer of full size at once: growing would leave unwiped copies behind.
	data := make([]byte, MaxSize+1)
	n, err := io.ReadFull(f, data)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		clear(data)
		return nil, 0, err
	}
	return data[:n], info.Mode().Perm(), nil
}

// digest tells snapshots apart by everything that matters: content, permissions,
// error.
func (s snapshot) digest() [sha256.Size]byte {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%o %v\n", s.mode, s.err) // A hash takes everything.
	_, _ = h.Write(s.data)
	return [sha256.Size]byte(h.Sum(nil))
}

// parse returns the key in the file and what is to be said about it. modeless
// reports whether the file system of a directory keeps no permissions.
func (s snapshot) parse(modeless func(dir string) bool) (Parsed, []string, error) {
	if s.err != nil {
		return Parsed{}, nil, s.err
	}
	parsed, err := Parse(s.data)
	if err != nil || !parsed.Private || s.mode&0o077 == 0 {
		return parsed, nil, err
	}
	if modeless(filepath.Dir(resolve(s.path))) {
		return parsed, []string{fmt.Sprintf("the file system that holds the private key %q keeps no permissions, so whoever reaches it can read the key;"+
			" keep the private key elsewhere and give wellkey its public half", s.path)}, nil
	}
	return Parsed{}, nil, s.exposed()
}

// exposed is the refusal of a private key that others may read.
func (s snapshot) exposed() error {
	who := "the group"
	if s.mode&0o007 != 0 {
		who = "everybody on this machine"
	}
	seen := fmt.Sprintf("holds a private key that is open to %s (mode %04o), and whoever has it can command the vehicles; ", who, s.mode)
	if target, err := os.Readlink(s.path); err == nil && strings.HasPrefix(target, "..data") {
		// fsGroup makes every file of the volume readable by the group,
		// whatever defaultMode says.
		return errors.New(seen + "mount the public key instead, which is all that wellkey needs," +
			" or set defaultMode: 0400 on the Secret's volume and no fsGroup on the pod")
	}
	return errors.New(seen + fmt.Sprintf("run: chmod %o %s", s.mode&0o700, shellWord(s.path)))
}

// keepsNoModes finds out by trying whether the file system of dir has no
// permissions of its own (vfat, some network and Windows mounts). Where nothing
// can be tried, as on a read-only mount, it says no: the stricter answer.
func keepsNoModes(dir string) bool {
	f, err := os.CreateTemp(dir, ".wellkey-probe-*")
	if err != nil {
		return false
	}
	defer func() { _ = os.Remove(f.Name()) }() // Empty, and harmless if it stays.
	defer func() { _ = f.Close() }()
	_ = f.Chmod(0o600) // Whether it took is what Stat tells.
	info, err := f.Stat()
	return err == nil && info.Mode().Perm()&0o077 != 0
}

// resolve follows symbolic links as far as they lead.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

var plainWord = pattern.New(`^[\w./:@%+=,-]+$`)

// shellWord returns path so that it can be pasted into a shell.
func shellWord(path string) string {
	if plainWord.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
