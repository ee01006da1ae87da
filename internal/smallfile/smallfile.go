// Package smallfile reads small files that belong to somebody else: keys,
// certificates, settings. Such a file is looked at again and again while wellkey
// runs, and may be replaced by anything meanwhile. So a look waits for nobody, as
// opening a named pipe would, and takes no more memory than it was allowed.
package smallfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// What a path may lead to instead of a small file.
var (
	ErrDirectory  = errors.New("is a directory")
	ErrNotRegular = errors.New("is not a regular file")
	ErrTooLarge   = errors.New("is too large")
)

// Open opens the regular file at path for reading, following symbolic links. What
// it is, is asked of the open file, so that nothing can take its place in between.
// Errors are those of os.Open, ErrDirectory and ErrNotRegular. The caller closes.
func Open(path string) (*os.File, fs.FileInfo, error) {
	// With O_NONBLOCK the opening of a pipe does not wait for a writer; for a
	// regular file it means nothing.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ENXIO) {
		return nil, nil, ErrNotRegular // a socket
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = ErrDirectory
	case !info.Mode().IsRegular():
		err = ErrNotRegular
	default:
		return f, info, nil
	}
	_ = f.Close() // only opened
	return nil, nil, err
}

// Read returns the contents of the regular file at path. One of more than most
// bytes is ErrTooLarge; no more than that is read of it, whatever its size is said
// to be.
func Read(path string, most int64) ([]byte, error) {
	f, _, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	return All(f, most)
}

// All returns all that r has. More than most bytes is ErrTooLarge, and no more than
// that is read.
func All(r io.Reader, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%w: %d bytes are allowed", ErrTooLarge, most)
	}
	return data, nil
}
