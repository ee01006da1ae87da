package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"wellkey/internal/contain"
)

// Why a call failed, for errors.Is.
var (
	ErrFull     = errors.New("the disk or quota is full")
	ErrReadOnly = errors.New("mounted read-only")
	ErrTimeout  = errors.New("the disk or network share hangs")
)

// Writable writes a value, reads it back and deletes it, and sets the metric
// wellkey_storage_writable. The error is one for the operator, as of New.
func (d *Directory) Writable(ctx context.Context) error {
	err := probe(ctx, d, d.metrics.panics)
	if err != nil {
		d.metrics.writable.Set(0)
	}
	return err
}

// probeSize is that of a certificate with its chain, key and metadata.
const probeSize = 8 << 10

// probe writes a value, reads it back and deletes it.
func probe(ctx context.Context, s backend, panics *contain.Part) error {
	key, value := "probe/"+rand.Text(), bytes.Repeat([]byte(rand.Text()), probeSize/26)
	err := s.Store(ctx, key, value)
	if errors.Is(err, ErrTimeout) || ctx.Err() != nil {
		go panics.Do(func() { _ = s.Delete(context.WithoutCancel(ctx), key) }) // It may be written late. The deadline of every call ends this.
		return err
	}
	got, loadErr := s.Load(ctx, key)
	deleteErr := s.Delete(context.WithoutCancel(ctx), key)
	if err != nil {
		return err // The others follow from it.
	}
	if err := errors.Join(loadErr, deleteErr); err != nil {
		return err
	}
	if !bytes.Equal(got, value) {
		return fmt.Errorf("%s gives back other bytes than were written: the file system, the disk or the server is faulty; use another one", s)
	}
	return nil
}

// explainRead is explain, but leaves alone that there is no such key.
func (d *Directory) explainRead(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		// A part of the key is a file, so there is nothing below it.
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return d.explain(err)
}

// explain turns what the operating system said into words for the operator.
// That the caller gave up, or asked for what is not a key, needs none.
func (d *Directory) explain(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return explain(d.path, err)
}

func explain(dir string, err error) error {
	uid := os.Getuid()
	kind, fix := err, "choose another with data_dir"
	switch {
	case errors.Is(err, fs.ErrPermission):
		fix = fmt.Sprintf("give it to the user that runs wellkey: chown -R %d %s on the host, or securityContext.fsGroup in Kubernetes", uid, dir)
	case errors.Is(err, syscall.EROFS):
		kind, fix = ErrReadOnly, "it is mounted read-only: mount a writable volume there (without :ro or readOnly)"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		kind, fix = ErrFull, "the disk or quota is full: free some space"
	case errors.Is(err, ErrTimeout):
		fix = "the disk or network share hangs: see whether the host can list it, and the kernel log"
		return fmt.Errorf("data directory %q does not answer uid %d: %w; %s", dir, uid, err, fix) // not even about its owner
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		fix = "a part of this path is a file: move it away or choose another directory with data_dir"
	}
	return &dirError{fmt.Sprintf("data directory %q cannot be used by uid %d%s: %v; %s", dir, uid, owner(dir), err, fix), kind, err}
}

// A dirError is an error in words for the operator that is two errors for
// programs: which kind it is, and what the operating system said.
type dirError struct {
	text        string
	kind, cause error
}

func (t *dirError) Error() string   { return t.text }
func (t *dirError) Unwrap() []error { return []error{t.kind, t.cause} }
