package keystore_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"wellkey/keystore"
)

// nobody is a user who owns none of the files here.
const nobody = 65534

func TestOpenWithoutPermission(t *testing.T) {
	s := newShelf(t)
	write(t, s.key, testdata(t, "good-sec1.pem"), 0o000)
	err := asNobody(t, func() error {
		_, err := keystore.Open(s.config())
		return err
	})
	prefix := fmt.Sprintf("key file %q cannot be read by user %d, as whom wellkey runs: ", s.key, os.Geteuid())
	suffix := fmt.Sprintf(": permission denied; let that user into its directories and run: chown %d %s", os.Geteuid(), s.key)
	if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.HasSuffix(err.Error(), suffix) {
		t.Errorf("got %v, want %s ... %s", err, prefix, suffix)
	}
}

// Opening a pipe would wait for somebody to write.
func TestOpenNamedPipe(t *testing.T) {
	s := newShelf(t)
	if err := syscall.Mkfifo(s.key, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := keystore.Open(s.config())
	if want := fmt.Sprintf("key file %q is not a regular file; name the file that holds the key", s.key); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// asNobody runs f on a thread that has no right to read everything, as root has.
func asNobody(t *testing.T, f func() error) error {
	t.Helper()
	result := make(chan error)
	go func() {
		// Never unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(nobody); err != nil {
				result <- fmt.Errorf("setting file system user: %w", err)
				return
			}
		}
		result <- f()
	}()
	return <-result
}
