package footprint

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// written returns the path of a file of that size, filled with x.
func written(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mapped maps such a file, and touches all of it.
func mapped(t *testing.T, path string, size, prot int) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, size, prot, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(m) })
	if n := bytes.Count(m, []byte("x")); n != size {
		t.Fatalf("%d of %d bytes", n, size)
	}
	return m
}

// begin returns where a mapping lies.
func begin(m []byte) uintptr { return uintptr(unsafe.Pointer(&m[0])) } // #nosec G103 -- only to find it

// resident returns how many kB of a mapping this process has.
func resident(t *testing.T, m []byte) int {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(smaps), fmt.Sprintf("\n%x-", begin(m)))
	_, after, ok2 := strings.Cut(after, "\nRss:")
	var kB int
	if _, err := fmt.Sscan(after, &kB); err != nil || !ok || !ok2 {
		t.Fatalf("the kernel does not tell of the mapping: %v", err)
	}
	return kB
}

// TestDrop: what the file has is dropped and comes back; what only memory has stays,
// and so does what is of another file.
func TestDrop(t *testing.T) {
	const size = 1 << 20
	path := written(t, size)
	file := mapped(t, path, size, unix.PROT_READ)
	other := mapped(t, written(t, size), size, unix.PROT_READ)
	changed := mapped(t, path, size, unix.PROT_READ|unix.PROT_WRITE)
	changed[7] = 'y'
	if err := unix.Mprotect(changed, unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	if before := resident(t, file); before != size/1024 {
		t.Fatalf("%d kB are in memory before", before)
	}
	if err := drop(begin(file)); err != nil {
		t.Fatal(err)
	}
	if after := resident(t, file); after != 0 {
		t.Errorf("%d kB are in memory after", after)
	}
	if after := resident(t, other); after != size/1024 {
		t.Errorf("%d kB of another file are in memory after, want all", after)
	}
	if bytes.Count(file, []byte("x")) != size {
		t.Error("the file does not come back")
	}
	if changed[7] != 'y' {
		t.Error("what was written is lost")
	}
}

// TestDropOwn: the file that Drop means is the program's, which goes on.
func TestDropOwn(t *testing.T) {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	code := reflect.ValueOf(Drop).Pointer()
	found := false
	for _, s := range clean(smaps, code) {
		found = found || s.start <= code && code < s.end
	}
	if !found {
		t.Error("the code of the program is not found")
	}
	if err := Drop(); err != nil {
		t.Error(err)
	}
}

func BenchmarkDrop(b *testing.B) {
	for b.Loop() {
		if err := Drop(); err != nil {
			b.Fatal(err)
		}
	}
}
