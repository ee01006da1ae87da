package storagetest

import (
	"bytes"
	"context"
	"io/fs"
	"slices"
	"sync"
	"testing"
)

func testValues(t *testing.T, b Backend) {
	address := b.New(t)
	s := b.Open(t, address)
	for _, value := range []string{"one", "two", "two", "a longer one", "x"} {
		check(t, s.Store(t.Context(), "a/b/c.txt", []byte(value)))
		wantValue(t, s, "a/b/c.txt", value)
		wantValue(t, b.Open(t, address), "a/b/c.txt", value)
	}
	value := []byte("mine")
	check(t, s.Store(t.Context(), "k", value))
	value[0] = 'X'
	wantValue(t, s, "k", "mine")
}

func testSizes(t *testing.T, b Backend) {
	s := b.fresh(t)
	check(t, s.Store(t.Context(), "empty", nil))
	wantValue(t, s, "empty", "")
	if !s.Exists(t.Context(), "empty") {
		t.Error("an empty value does not exist")
	}
	large := bytes.Repeat([]byte("0123456789\x00\xff"), 100_000)
	check(t, s.Store(t.Context(), "large", large))
	wantValue(t, s, "large", string(large))
	info, err := s.Stat(t.Context(), "large")
	if err != nil || info.Size != 0 && info.Size != int64(len(large)) {
		t.Errorf("got %+v, %v, want a size of %d or none", info, err, len(large))
	}
}

func testNotExist(t *testing.T, b Backend) {
	s := b.fresh(t)
	check(t, s.Store(t.Context(), "a/file", []byte("x")))
	for _, key := range []string{"missing", "missing/too", "a/missing", "a/file/below"} {
		_, err := s.Load(t.Context(), key)
		wantError(t, "Load "+key, err, fs.ErrNotExist)
		_, err = s.Stat(t.Context(), key)
		wantError(t, "Stat "+key, err, fs.ErrNotExist)
		_, err = s.List(t.Context(), key, true)
		wantError(t, "List "+key, err, fs.ErrNotExist)
		if s.Exists(t.Context(), key) {
			t.Errorf("%s exists", key)
		}
		check(t, s.Delete(t.Context(), key))
	}
	wantValue(t, s, "a/file", "x")
}

func testDirectories(t *testing.T, b Backend) {
	s := b.fresh(t)
	for _, key := range []string{"d/1", "d/sub/2", "d/sub/deep/3", "e/4"} {
		check(t, s.Store(t.Context(), key, []byte(key)))
	}
	wantList(t, s, "d", false, "d/1", "d/sub")
	wantList(t, s, "d", true, "d/1", "d/sub", "d/sub/2", "d/sub/deep", "d/sub/deep/3")
	wantList(t, s, "d/sub", false, "d/sub/2", "d/sub/deep")
	for key, terminal := range map[string]bool{"d": false, "d/sub": false, "d/sub/deep": false, "d/1": true, "d/sub/deep/3": true} {
		info, err := s.Stat(t.Context(), key)
		check(t, err)
		if info.Key != key || info.IsTerminal != terminal {
			t.Errorf("Stat %s: got %+v, want terminal %v", key, info, terminal)
		}
		if !s.Exists(t.Context(), key) {
			t.Errorf("%s does not exist", key)
		}
	}
}

func testDelete(t *testing.T, b Backend) {
	s := b.fresh(t)
	for _, key := range []string{"d/1", "d/sub/2", "d/sub/deep/3", "e/4"} {
		check(t, s.Store(t.Context(), key, []byte(key)))
	}
	for range 2 { // The second time it is gone already.
		check(t, s.Delete(t.Context(), "d/sub"))
	}
	wantList(t, s, "d", true, "d/1")
	check(t, s.Delete(t.Context(), "d/1"))
	_, err := s.Load(t.Context(), "d/1")
	wantError(t, "Load of a deleted key", err, fs.ErrNotExist)
	wantValue(t, s, "e/4", "e/4")
	check(t, s.Store(t.Context(), "d/1", []byte("again")))
	wantValue(t, s, "d/1", "again")
}

func testPrefixes(t *testing.T, b Backend) {
	s := b.fresh(t)
	for _, key := range []string{"ex/1", "example/2", "ex_mple/3", "ex%/4"} {
		check(t, s.Store(t.Context(), key, []byte(key)))
	}
	for _, key := range []string{"ex", "ex_mple", "ex%"} {
		keys, err := s.List(t.Context(), key, true)
		if err != nil || len(keys) != 1 {
			t.Errorf("List %s: got %q, %v, want one key", key, keys, err)
		}
	}
	check(t, s.Delete(t.Context(), "ex"))
	check(t, s.Delete(t.Context(), "ex%"))
	wantValue(t, s, "example/2", "example/2")
	wantValue(t, s, "ex_mple/3", "ex_mple/3")
}

func testRace(t *testing.T, b Backend) {
	address := b.New(t)
	s := b.Open(t, address)
	values := []string{string(bytes.Repeat([]byte("a"), 1<<18)), string(bytes.Repeat([]byte("b"), 1<<18))}
	check(t, s.Store(t.Context(), "race/k", []byte(values[0])))
	var group sync.WaitGroup
	for i := range 4 {
		other := b.Open(t, address)
		group.Go(func() {
			for n := range 5 {
				if err := other.Store(t.Context(), "race/k", []byte(values[(i+n)%2])); err != nil {
					t.Error(err)
				}
				got, err := s.Load(t.Context(), "race/k")
				if err != nil || !slices.Contains(values, string(got)) {
					t.Errorf("got %d bytes, %v, want one of the values whole", len(got), err)
				}
			}
		})
	}
	group.Wait()
	wantList(t, s, "race", true, "race/k")
}

func testCancelled(t *testing.T, b Backend) {
	s := b.fresh(t)
	check(t, s.Store(t.Context(), "k", []byte("v")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, "Store", s.Store(ctx, "k", []byte("w")), context.Canceled)
	wantError(t, "Delete", s.Delete(ctx, "k"), context.Canceled)
	_, err := s.Load(ctx, "k")
	wantError(t, "Load", err, context.Canceled)
	_, err = s.List(ctx, "", true)
	wantError(t, "List", err, context.Canceled)
	_, err = s.Stat(ctx, "k")
	wantError(t, "Stat", err, context.Canceled)
	_, err = s.TryLock(ctx, "k")
	wantError(t, "TryLock", err, context.Canceled)
	wantValue(t, s, "k", "v")
}

func wantValue(t *testing.T, s Storage, key, want string) {
	t.Helper()
	got, err := s.Load(t.Context(), key)
	if err != nil || string(got) != want {
		t.Errorf("%s: got %.40q (%d bytes), %v, want %.40q", key, got, len(got), err, want)
	}
}

func wantList(t *testing.T, s Storage, prefix string, recursive bool, want ...string) {
	t.Helper()
	got, err := s.List(t.Context(), prefix, recursive)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("List %s, recursive %v: got %q, %v, want %q", prefix, recursive, got, err, want)
	}
}
