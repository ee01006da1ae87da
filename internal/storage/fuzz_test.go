package storage_test

import (
	"bytes"
	"testing"
	"time"

	"wellkey/internal/storage"
)

// FuzzLock reads any file of a lock. Only a record of a process that runs here is of
// an owner who lives; no other can hold a lock up for ever. And one that is written
// again has the length that it had, so that it can be written in place.
func FuzzLock(f *testing.F) {
	d, err := storage.OpenDirectory(f.TempDir(), nil)
	if err != nil {
		f.Fatal(err)
	}
	own := d.OwnRecord(time.Now())
	f.Add(own)
	f.Add(bytes.Replace(own, []byte(`"token":"T"`), []byte(`"token":""`), 1))
	f.Add(bytes.Replace(own, []byte(`"boot":"`), []byte(`"boot":"x`), 1))
	f.Add(own[:len(own)/2])
	for _, text := range []string{
		"", "\x00\x00\x00", "{", "null", "[]", `{"created":"2099-01-01T00:00:00Z","updated":"2099-01-01T00:00:00Z"}`, `{"created":"2020-01-01T00:00:00Z","updated":"2020-01-01T00:00:00Z"}`,
		`{"created":"x","updated":"y","token":"t","pid":-1,"guard":18446744073709551615}`, `{"created":"2020-01-01T00:00:00Z","updated":"2020-01-01T00:00:00Z","token":"t","guard":1,"pid":1}`,
		`{"token":"t","pid":1e99}`, `{"TOKEN":"a","token":"b"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, guarded := range []bool{false, true} {
			alive, dead, damaged := d.JudgeRecord(data, guarded)
			if alive && !bytes.Contains(data, []byte(d.Boot())) {
				t.Fatalf("held to be alive: %q", data)
			}
			if dead && damaged || alive && (dead || damaged) {
				t.Fatalf("%t %t %t: %q", alive, dead, damaged, data)
			}
		}
		text, good := storage.Rewrite(data, time.Now())
		if !good {
			return
		}
		again, good := storage.Rewrite(text, time.Now().Add(-100*24*time.Hour))
		if !good || len(again) != len(text) {
			t.Fatalf("%q becomes %q", text, again)
		}
	})
}
