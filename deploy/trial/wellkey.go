package trial

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"wellkey/internal/testprogram"
)

// Binary adds the flag for the wellkey that a program is to do something with.
func Binary(flags *flag.FlagSet, path *string, do string) {
	flags.StringVar(path, "binary", "", "the wellkey to "+do+"; without, it is built")
}

// Wellkey returns the path of the wellkey to try: given, or where that is "" one that
// it builds in dir.
func Wellkey(ctx context.Context, given, dir string) (path string, err error) {
	if given != "" {
		return given, nil
	}
	path = filepath.Join(dir, "wellkey")
	return path, testprogram.Build(ctx, path)
}

// With has do try a wellkey, as Wellkey finds it, in a directory below parent, "" =
// that for temporary files, which is removed when do has returned.
func With(ctx context.Context, name, parent, given string, do func(dir, wellkey string) error) (err error) {
	dir, err := os.MkdirTemp(parent, "wellkey-"+name+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	wellkey, err := Wellkey(ctx, given, dir)
	if err != nil {
		return err
	}
	return do(dir, wellkey)
}

// Say returns what prints a line to w.
func Say(w io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
}
