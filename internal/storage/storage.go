// Package storage keeps wellkey's state: certificates, the ACME account, and
// what the registrar remembers, under keys such as
// "registrations/example.com/eu.json". All backends are certmagic's Storage,
// so that certificates and everything else live in one place.
//
// The directory backend writes files with mode 0600 below a directory of mode
// 0700, each replaced atomically. Whoever can read the directory has the
// private keys of the certificates, and can act for the ACME account.
package storage

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

// A Directory keeps state in files. It is safe for concurrent use, also by
// several processes of one host.
type Directory struct {
	certmagic.FileStorage
}

// Open makes dir if it does not exist, proves that it can be written, and
// returns it. The error is for the operator: it names the path, what is wrong
// and the fix.
func Open(dir string, logger *zap.Logger) (*Directory, error) {
	if logger == nil {
		logger = zap.NewNop()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolving data directory %q: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explain(dir, err)
	}
	d := &Directory{certmagic.FileStorage{Path: dir}}
	if err := d.Writable(context.Background()); err != nil {
		return nil, err
	}
	logger.Named("storage").Debug("data directory is writable", zap.String("path", dir))
	return d, nil
}

// Writable writes a value, reads it back and deletes it. The error is one for
// the operator, as of Open.
func (d *Directory) Writable(ctx context.Context) error {
	key, value := "probe/"+rand.Text(), []byte(rand.Text())
	if err := d.Store(ctx, key, value); err != nil {
		return explain(d.Path, err)
	}
	got, err := d.Load(ctx, key)
	if err := errors.Join(err, d.Delete(ctx, key)); err != nil {
		return explain(d.Path, err)
	}
	if !bytes.Equal(got, value) {
		return fmt.Errorf("data directory %q gives back other bytes than were written: the file system or the disk is faulty; use another volume", d.Path)
	}
	return nil
}

// explain turns what the operating system said about dir into words for the
// operator.
func explain(dir string, err error) error {
	uid := os.Getuid()
	fix := "choose another with data_dir"
	switch {
	case errors.Is(err, fs.ErrPermission):
		fix = fmt.Sprintf("give it to the user that runs wellkey: chown -R %d %s on the host, or securityContext.fsGroup in Kubernetes", uid, dir)
	case errors.Is(err, syscall.EROFS):
		fix = "it is mounted read-only: mount a writable volume there (without :ro or readOnly)"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		fix = "the disk or quota is full: free some space"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		fix = "a part of this path is a file: move it away or choose another directory with data_dir"
	}
	return fmt.Errorf("data directory %q cannot be used by uid %d%s: %w; %s", dir, uid, owner(dir), err, fix)
}
