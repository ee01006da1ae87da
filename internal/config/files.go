package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"wellkey/internal/smallfile"
)

// maxFile is far above any file of settings; more is a wrong path.
const maxFile = 1 << 20

// readFile reads a small file that is followed while wellkey runs, and its mode. It
// waits for nobody: errors are those of package smallfile.
func readFile(path string) ([]byte, os.FileMode, error) {
	f, info, err := smallfile.Open(path)
	if err != nil {
		return nil, 0, err
	}
	return readAll(f, info)
}

// readOnce is readFile for what is read at the start, and may then come from a pipe, as
// a shell makes one of <(...). Settings that are loaded again wait for no writer.
func (s *Settings) readOnce(path string) ([]byte, os.FileMode, error) {
	if s.again {
		return readFile(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = smallfile.ErrDirectory
	}
	if err != nil {
		_ = f.Close() // only opened
		return nil, 0, err
	}
	return readAll(f, info)
}

// readAll reads a file, and closes it.
func readAll(f *os.File, info fs.FileInfo) ([]byte, os.FileMode, error) {
	defer func() { _ = f.Close() }() // only read
	data, err := smallfile.All(f, maxFile)
	return data, info.Mode(), err
}

// oneLine returns the one value that a file holds, without the one line end behind it
// that editors write.
func oneLine(data []byte) string {
	text := string(data)
	if shorter, ok := strings.CutSuffix(text, "\n"); ok {
		text = strings.TrimSuffix(shorter, "\r")
	}
	return text
}

// explainFile says why path could not be read, and what to do.
func explainFile(path string, err error) (what, fix string) {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "there is no file " + quote(path), "Check the path; in a container it is the path inside"
	case errors.Is(err, os.ErrPermission):
		return "may not read " + quote(path), fmt.Sprintf("Let user id %d read it (chown or chmod)", os.Getuid())
	case errors.Is(err, smallfile.ErrDirectory):
		return quote(path) + " is a directory", "Name the file; Docker makes a directory where the file to mount does not exist, so remove it and write the file first"
	case errors.Is(err, smallfile.ErrNotRegular):
		return quote(path) + " is a pipe, a socket or a device", "Put a regular file in its place, or name one: a wellkey that serves reads it again and again, and must wait for nobody"
	case errors.Is(err, smallfile.ErrTooLarge):
		return quote(path) + " is larger than 1 MiB", "Check the path: this is another file"
	}
	return "reading " + quote(path) + ": " + cause(err), "Check the path and the disk"
}

// cause returns the last word of a chain of errors, without the path.
func cause(err error) string {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// readableByAll reports whether every user of the machine may read the file.
// Secrets of containers are 0444 by design, inside the container.
func readableByAll(path string, mode os.FileMode) bool {
	return mode.Perm()&0o007 != 0 && !strings.HasPrefix(path, "/run/secrets/") && !strings.HasPrefix(path, "/var/run/secrets/")
}
