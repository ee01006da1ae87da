package smallfile_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/smallfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRead(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "small") // short: the path of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, text string) {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("empty", "")
	put("full", strings.Repeat("x", 100))
	put("over", strings.Repeat("x", 101))
	sparse, err := os.Create(at("sparse"))
	if err == nil {
		err = errors.Join(sparse.Truncate(1<<40), sparse.Close())
	}
	socket, listenErr := net.Listen("unix", at("socket"))
	if err := errors.Join(err, listenErr, syscall.Mkfifo(at("pipe"), 0o600), os.Mkdir(at("directory"), 0o700),
		os.Symlink("full", at("link")), os.Symlink("pipe", at("link-to-pipe")), os.Symlink("circle", at("circle"))); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	for _, row := range []struct {
		name string
		size int
		err  error
	}{
		{"empty", 0, nil},
		{"full", 100, nil},
		{"link", 100, nil},
		{"over", 0, smallfile.ErrTooLarge},
		{"sparse", 0, smallfile.ErrTooLarge},
		{"pipe", 0, smallfile.ErrNotRegular}, // nobody writes: a look that waits would wait for ever
		{"link-to-pipe", 0, smallfile.ErrNotRegular},
		{"socket", 0, smallfile.ErrNotRegular},
		{"directory", 0, smallfile.ErrDirectory},
		{"circle", 0, syscall.ELOOP},
		{"missing", 0, fs.ErrNotExist},
	} {
		data, err := smallfile.Read(at(row.name), 100)
		if !errors.Is(err, row.err) || len(data) != row.size {
			t.Errorf("%s: got %d bytes, %v, want %d, %v", row.name, len(data), err, row.size, row.err)
		}
	}
	if data, err := smallfile.Read("/dev/zero", 100); !errors.Is(err, smallfile.ErrNotRegular) {
		t.Errorf("a device: got %d bytes, %v", len(data), err)
	}
}
