package storage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"wellkey/internal/storage"
)

const lease = 2 * 5 * time.Second // 2 refreshes, by default

// epoch is when the time of a bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// own is a record as this process writes it at epoch, changed by change.
func own(t *testing.T, change func(record map[string]any)) []byte {
	t.Helper()
	dir := t.TempDir()
	d := open(t, storage.Config{Path: dir})
	if err := d.Lock(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "locks", "l.lock"))
	if err := errors.Join(err, d.Unlock(t.Context(), "l")); err != nil {
		t.Fatal(err)
	}
	record := map[string]any{}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&record); err != nil {
		t.Fatal(err)
	}
	record["created"], record["updated"] = epoch, epoch
	change(record)
	if data, err = json.Marshal(record); err != nil {
		t.Fatal(err)
	}
	return data
}

// A lock that is found: what is in its file, how long until it is ours, on the
// clock of the bubble, and whether what was there goes to quarantine.
type found struct {
	record      func(t *testing.T) []byte
	make        func(t *testing.T, locks string) // instead of record
	within      time.Duration
	atLeast     time.Duration
	quarantined string // key
}

func text(s string) func(*testing.T) []byte { return func(*testing.T) []byte { return []byte(s) } }

func ownWith(change func(map[string]any)) func(*testing.T) []byte {
	return func(t *testing.T) []byte { return own(t, change) }
}

const lockKey = "locks/l.lock"

// within is for a lock that needs a look or two: polls are 100 ms apart.
const (
	atOnce = 0
	soon   = time.Second
)

func foundLocks() map[string]found {
	old := func(created, updated time.Time) func(*testing.T) []byte {
		return text(fmt.Sprintf(`{"created":%q,"updated":%q}`, created.Format(time.RFC3339Nano), updated.Format(time.RFC3339Nano)))
	}
	now := epoch
	return map[string]found{
		// Damaged: no owner can be seen in it.
		"empty":              {record: text(""), within: soon, quarantined: lockKey},
		"one space":          {record: text(" \n"), within: soon, quarantined: lockKey},
		"cut":                {record: text(`{"created":"2000-01-01T00:00:00Z","upd`), within: soon, quarantined: lockKey},
		"garbage":            {record: text("\x01\xfe\x7fgarbage"), within: soon, quarantined: lockKey},
		"NUL bytes":          {record: text(strings.Repeat("\x00", 100)), within: soon, quarantined: lockKey},
		"record and NULs":    {record: func(t *testing.T) []byte { return append(own(t, func(map[string]any) {}), 0, 0, 0) }, within: soon, quarantined: lockKey},
		"JSON null":          {record: text("null"), within: soon, quarantined: lockKey},
		"JSON array":         {record: text("[]"), within: soon, quarantined: lockKey},
		"empty object":       {record: text("{}"), within: soon, quarantined: lockKey},
		"no valid time":      {record: text(`{"created":"yesterday","updated":"today"}`), within: soon, quarantined: lockKey},
		"wrong types":        {record: text(`{"created":1,"updated":2,"pid":"x"}`), within: soon, quarantined: lockKey},
		"HTML":               {record: text("<html>Not Found</html>"), within: soon, quarantined: lockKey},
		"megabytes":          {record: text(strings.Repeat("x", 3<<20)), within: soon, quarantined: lockKey},
		"a record, repeated": {record: text(`{"created":"2000-01-01T00:00:00Z"}{"created":"2000-01-01T00:00:00Z"}`), within: soon, quarantined: lockKey},

		// No lock at all.
		"an empty directory": {make: mkdir("l.lock"), within: atOnce, quarantined: lockKey},
		"a full directory":   {make: mkdir("l.lock/below"), within: atOnce, quarantined: lockKey},
		"a link to nowhere": {make: func(t *testing.T, locks string) { must(t, os.Symlink("nowhere", filepath.Join(locks, "l.lock"))) },
			within: atOnce, quarantined: lockKey},
		"a pipe": {make: func(t *testing.T, locks string) { must(t, syscall.Mkfifo(filepath.Join(locks, "l.lock"), 0o600)) },
			within: atOnce, quarantined: lockKey},
		"locks is a file": {make: func(t *testing.T, locks string) {
			must(t, errors.Join(os.Remove(locks), os.WriteFile(locks, []byte("x"), 0o600)))
		}, within: atOnce, quarantined: "locks"},
		"the guard is a directory": {make: mkdir("l.guard"), within: atOnce, quarantined: "locks/l.guard"},
		"the guard is a link": {make: func(t *testing.T, locks string) {
			must(t, os.Symlink("/dev/null", filepath.Join(locks, "l.guard")))
		}, within: atOnce, quarantined: "locks/l.guard"},
		"a guard alone": {make: func(t *testing.T, locks string) {
			must(t, os.WriteFile(filepath.Join(locks, "l.guard"), nil, 0o600))
		}, within: atOnce},

		// Owned by somebody who is dead for sure.
		"a dead process": {record: ownWith(func(r map[string]any) { r["pid"] = 1 << 30 }), within: atOnce},
		"another process of the same number": {record: ownWith(func(r map[string]any) { r["pid"] = os.Getppid(); r["start"] = 1 }),
			within: atOnce},
		"before the machine started again": {record: ownWith(func(r map[string]any) { r["boot"] = "an earlier one" }), within: atOnce},
		"dead, in the future": {record: ownWith(func(r map[string]any) { r["pid"] = 1 << 30; r["updated"] = "2099-01-01T00:00:00Z" }),
			within: atOnce, quarantined: lockKey},

		// Owned by somebody whom only the lease can tell dead.
		"another host":                 {record: func(*testing.T) []byte { return foreign(now) }, atLeast: lease, within: lease + soon},
		"another host, long ago":       {record: func(*testing.T) []byte { return foreign(now.AddDate(-1, 0, 0)) }, atLeast: lease, within: lease + soon},
		"another host, in the future":  {record: func(*testing.T) []byte { return foreign(now.AddDate(70, 0, 0)) }, atLeast: lease, within: lease + soon, quarantined: lockKey},
		"an older version":             {record: old(now, now), atLeast: lease, within: lease + soon},
		"an older version, stale":      {record: old(now.AddDate(-1, 0, 0), now.AddDate(-1, 0, 0)), atLeast: lease, within: lease + soon},
		"an older version, clock back": {record: old(now, now.AddDate(73, 0, 0)), atLeast: lease, within: lease + soon, quarantined: lockKey},
		// Its guard is none of ours: the number of the one that it had here may be given again.
		"another container": {record: ownWith(func(r map[string]any) { r["pid"] = 1; r["namespace"] = "pid:[1]"; r["guard"] = 1 }),
			atLeast: lease, within: lease + soon},
	}
}

func TestFoundLocks(t *testing.T) {
	locks := foundLocks()
	for _, name := range slices.Sorted(maps.Keys(locks)) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, "locks"), 0o700))
			l := locks[name]
			if l.make != nil {
				l.make(t, filepath.Join(dir, "locks"))
			} else {
				must(t, os.WriteFile(filepath.Join(dir, "locks", "l.lock"), l.record(t), 0o644))
			}
			synctest.Test(t, func(t *testing.T) { takeFound(t, dir, l) })
		})
	}
}

func takeFound(t *testing.T, dir string, l found) {
	core, logs := observer.New(zap.InfoLevel)
	d := open(t, storage.Config{Path: dir, Logger: zap.New(core), Timeout: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	must(t, d.Lock(ctx, "l"))
	if took := time.Since(began); took < l.atLeast || took > l.within {
		t.Errorf("locked after %v, want from %v to %v", took, l.atLeast, l.within)
	}
	if ok, err := d.TryLock(ctx, "l"); ok || err != nil {
		t.Errorf("the same lock again: got %v, %v", ok, err)
	}
	must(t, d.Unlock(ctx, "l"))
	items, err := filepath.Glob(filepath.Join(dir, "quarantine", "*", "*", "*"))
	must(t, err)
	if l.quarantined == "locks" {
		items, err = filepath.Glob(filepath.Join(dir, "quarantine", "*", "locks"))
		must(t, err)
	}
	moved := logs.FilterMessage("moved a damaged item to quarantine")
	switch {
	case l.quarantined == "" && (len(items) > 0 || moved.Len() > 0):
		t.Errorf("got %q in quarantine, want none", items)
	case l.quarantined != "" && (len(items) != 1 || !strings.HasSuffix(items[0], l.quarantined) || moved.FilterField(zap.String("key", l.quarantined)).Len() != 1):
		t.Errorf("got %q in quarantine, log %v, want %s", items, moved.All(), l.quarantined)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "locks"))
	if err != nil || len(entries) > 0 {
		t.Errorf("after Unlock: got %v, %v, want nothing left", entries, err)
	}
}

// A live owner keeps its lock, whatever its record looks like.
func TestLiveOwnersAreNeverBroken(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, locks string){
		"cut":                   func(t *testing.T, locks string) { must(t, os.Truncate(filepath.Join(locks, "l.lock"), 10)) },
		"empty":                 func(t *testing.T, locks string) { must(t, os.Truncate(filepath.Join(locks, "l.lock"), 0)) },
		"deleted":               func(t *testing.T, locks string) { must(t, os.Remove(filepath.Join(locks, "l.lock"))) },
		"guard deleted by hand": func(t *testing.T, locks string) { must(t, os.Remove(filepath.Join(locks, "l.guard"))) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				owner, other := open(t, storage.Config{Path: dir}), open(t, storage.Config{Path: dir})
				must(t, owner.Lock(t.Context(), "l"))
				spoil(t, filepath.Join(dir, "locks"))
				ctx, cancel := context.WithTimeout(t.Context(), 10*lease)
				defer cancel()
				if err := other.Lock(ctx, "l"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want to wait for as long as the owner lives", err)
				}
				if err := owner.Unlock(t.Context(), "l"); err != nil && name != "deleted" {
					t.Error(err)
				}
				must(t, other.Lock(t.Context(), "l"))
				must(t, other.Unlock(t.Context(), "l"))
			})
		})
	}
}

// An owner on another host that refreshes its record keeps the lock, and no
// clock but ours counts.
func TestOtherHostsAreSeenToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := open(t, storage.Config{Path: dir})
		must(t, os.Mkdir(filepath.Join(dir, "locks"), 0o700))
		for beat := range 5 {
			wrong := time.Date(1970, 1, 1, 0, 0, beat, 0, time.UTC)
			must(t, os.WriteFile(filepath.Join(dir, lockKey), foreign(wrong), 0o600))
			ctx, cancel := context.WithTimeout(t.Context(), lease-time.Second)
			if err := d.Lock(ctx, "l"); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("after %d refreshes: got %v, want to wait", beat, err)
			}
			cancel()
		}
		must(t, d.Lock(t.Context(), "l"))
		must(t, d.Unlock(t.Context(), "l"))
	})
}

// The lock of a process that goes on waiting, and of one that is killed in an
// older version, is respected by certmagic's own storage, too.
func TestCertmagicRespectsOurLocks(t *testing.T) {
	dir := t.TempDir()
	d := open(t, storage.Config{Path: dir})
	must(t, d.Lock(t.Context(), "l"))
	theirs := &certmagic.FileStorage{Path: dir}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := theirs.Lock(ended, "l"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to wait", err)
	}
	must(t, d.Unlock(t.Context(), "l"))
}

// P5: what a former owner writes must not keep the lock of the next one alive.
func TestFormerOwnerLeavesTheNextAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		core, logs := observer.New(zap.ErrorLevel)
		d := open(t, storage.Config{Path: dir, Logger: zap.New(core)})
		must(t, d.Lock(t.Context(), "l"))
		seize(t, dir, "l")
		before, err := os.ReadFile(filepath.Join(dir, lockKey))
		must(t, err)
		time.Sleep(3 * lease) // of the bubble: the former owner refreshes, or would
		after, err := os.ReadFile(filepath.Join(dir, lockKey))
		must(t, err)
		if string(before) != string(after) {
			t.Errorf("got %s, want %s as it was", after, before)
		}
		if logs.FilterMessage("lost a lock to another owner").Len() != 1 {
			t.Errorf("got log %v, want one line about the loss", logs.All())
		}
		if err := d.Unlock(t.Context(), "l"); !errors.Is(err, storage.ErrLockLost) {
			t.Errorf("got %v, want ErrLockLost", err)
		}
		if _, err := os.Stat(filepath.Join(dir, lockKey)); err != nil {
			t.Errorf("the lock of the next owner: %v", err)
		}
	})
}

func TestRefreshChangesTheRecordOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := open(t, storage.Config{Path: dir})
		must(t, d.Lock(t.Context(), "l"))
		records := map[string]bool{}
		for range 4 {
			data, err := os.ReadFile(filepath.Join(dir, lockKey))
			must(t, err)
			var record struct {
				Token string
				Host  string
				PID   int
			}
			if err := json.Unmarshal(data, &record); err != nil || record.Token == "" || record.PID != os.Getpid() {
				t.Fatalf("got %s, %v, want a record of ours", data, err)
			}
			records[string(data)] = true
			time.Sleep(6 * time.Second) // of the bubble
		}
		if len(records) != 4 {
			t.Errorf("got %d different records in 4 looks, want 4", len(records))
		}
		must(t, d.Unlock(t.Context(), "l"))
	})
}

func mkdir(name string) func(*testing.T, string) {
	return func(t *testing.T, locks string) { must(t, os.MkdirAll(filepath.Join(locks, name), 0o700)) }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Records that look alike, such as empty ones, are not one that nobody changed.
func TestAlikeRecordsAreNotTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := open(t, storage.Config{Path: dir})
		d.WithoutFlock()
		must(t, os.Mkdir(filepath.Join(dir, "locks"), 0o700))
		for owner := range 5 {
			must(t, os.WriteFile(filepath.Join(dir, "next"), nil, 0o600))
			must(t, os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, lockKey)))
			ctx, cancel := context.WithTimeout(t.Context(), lease-time.Second)
			if err := d.Lock(ctx, "l"); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("after owner %d: got %v, want to wait", owner, err)
			}
			cancel()
		}
		must(t, d.Lock(t.Context(), "l"))
		must(t, d.Unlock(t.Context(), "l"))
	})
}

// A late Unlock by one goroutine is not that of another, which got the lock since.
func TestLateUnlockInOneProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d, other := open(t, storage.Config{Path: dir}), open(t, storage.Config{Path: dir})
		d.WithoutFlock()
		must(t, d.Lock(t.Context(), "l"))
		seize(t, dir, "l")
		must(t, os.Remove(filepath.Join(dir, lockKey))) // The other host gave it back.
		must(t, d.Lock(t.Context(), "l"))
		must(t, d.RenewLockLease(t.Context(), "l", time.Minute))
		if err := d.Unlock(t.Context(), "l"); !errors.Is(err, storage.ErrLockLost) {
			t.Errorf("the former owner: got %v, want ErrLockLost", err)
		}
		if ok, err := other.TryLock(t.Context(), "l"); ok || err != nil {
			t.Errorf("another, meanwhile: got %v, %v", ok, err)
		}
		must(t, d.Unlock(t.Context(), "l"))
		if err := d.Unlock(t.Context(), "l"); !errors.Is(err, storage.ErrNotHeld) {
			t.Errorf("once more: got %v, want ErrNotHeld", err)
		}
	})
}

// Where flock does not decide, two hosts may take over the same lock at the same
// time: the first must see that the second was last.
func TestTakeoverByTwoHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := open(t, storage.Config{Path: dir})
		d.OnSharedDisk()
		must(t, os.Mkdir(filepath.Join(dir, "locks"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, lockKey), foreign(epoch), 0o600))
		ctx, cancel := context.WithTimeout(t.Context(), 2*lease-time.Second)
		defer cancel()
		got := make(chan error)
		go func() { got <- d.Lock(ctx, "l") }()
		for ours := false; !ours; {
			time.Sleep(50 * time.Millisecond) // of the bubble
			data, err := os.ReadFile(filepath.Join(dir, lockKey))
			must(t, err)
			ours = !strings.Contains(string(data), "THEIRS")
		}
		seize(t, dir, "l")
		if err := <-got; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want to wait for the one that was last", err)
		}
	})
}
