package faults_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wellkey/internal/durable"
	"wellkey/internal/fleetsim"
	"wellkey/internal/testworld"
	"wellkey/registrar/fleetapi"
)

// TestKilledWhileStoringState kills wellkey 100 times while it notes what Tesla
// said, each time some milliseconds after one of Tesla's answers. What was noted
// before is there after each kill, or what is new, whole; never neither, and never
// some of each. The key stays, and the next start goes on from there.
func TestKilledWhileStoringState(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for worker := range 4 {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			killWhileStoringState(t, rand.New(rand.NewPCG(seed, uint64(worker))), 25)
		})
	}
}

func killWhileStoringState(t *testing.T, random *rand.Rand, kills int) {
	var answers atomic.Pointer[chan struct{}]
	w := newWorld(t, func(c *testworld.Config) {
		c.Files = true
		c.OnRequest = func(fleetsim.Request) {
			if told := answers.Load(); told != nil {
				*told <- struct{}{}
			}
		}
	})
	must(t, w.WriteCredentials())
	w.start()
	w.await("both regions", registered)
	w.watcher.served()
	w.kill()
	key, err := os.ReadFile(w.keyFile())
	must(t, err)
	folder := filepath.Join(w.state(), "registrations")
	changed := 0
	for n := range kills {
		w.goOn()
		before := w.ageRecords(folder)
		told := make(chan struct{}, 100)
		answers.Store(&told)
		w.start()
		for range 1 + random.IntN(4) { // two tokens and two answers
			select {
			case <-told:
			case <-w.ctx.Done():
				t.Fatalf("kill %d: Tesla is not asked", n)
			}
		}
		<-time.After(time.Duration(random.IntN(25_000)) * time.Microsecond) // the moment is to be a random one
		w.kill()
		for name, old := range before {
			now, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil {
				t.Fatalf("kill %d: neither the old nor the new %s: %v", n, name, err)
			}
			if bytes.Equal(now, old) {
				continue
			}
			changed++
			if answer := answerIn(t, now); answer.Key != w.Registered(fleetapi.EU) || !answer.At.After(answerIn(t, old).At) {
				t.Fatalf("kill %d: %s is neither the old nor the new one: %s", n, name, now)
			}
		}
		for name := range snapshot(t, folder) {
			if before[name] == nil && !durable.IsTemp(filepath.Base(name)) {
				t.Errorf("kill %d: there is %s now", n, name)
			}
		}
		if now, err := os.ReadFile(w.keyFile()); err != nil || !bytes.Equal(now, key) {
			t.Fatalf("kill %d: the key file has changed, %v", n, err)
		}
	}
	t.Logf("of %d records, %d were new", 2*kills, changed)
	if changed == 0 {
		t.Error("no kill came after a record was stored")
	}
	answers.Store(nil)
	w.again()
	w.await("both regions", registered)
	if found := quarantined(w.state()); len(found) > 0 {
		t.Errorf("in quarantine: %q", found)
	}
	if n := w.Tesla.Count(fleetapi.OpRegister); n != 2 {
		t.Errorf("%d registrations, want the first two", n)
	}
}

// A noted is what a record says of Tesla's answer.
type noted struct {
	At  time.Time `json:"at"`
	Key string    `json:"key"`
}

func answerIn(t *testing.T, record []byte) noted {
	t.Helper()
	var r struct {
		Answer *noted `json:"answer"`
	}
	if err := json.Unmarshal(record, &r); err != nil || r.Answer == nil {
		t.Fatalf("this is no record: %q, %v", record, err)
	}
	return *r.Answer
}

// ageRecords makes all records in a folder older by two days, so that Tesla is asked
// again, and returns them.
func (w *world) ageRecords(folder string) map[string][]byte {
	w.t.Helper()
	records := map[string][]byte{}
	for name, data := range snapshot(w.t, folder) {
		if durable.IsTemp(filepath.Base(name)) {
			continue
		}
		aged := timestamp.ReplaceAllStringFunc(string(data), func(text string) string {
			at, err := time.Parse(time.RFC3339Nano, strings.Trim(text, `"`))
			must(w.t, err)
			return `"` + at.Add(-48*time.Hour).Format(time.RFC3339Nano) + `"`
		})
		records[name] = []byte(aged)
		must(w.t, os.WriteFile(filepath.Join(folder, name), records[name], 0o600))
	}
	if len(records) != 2 {
		w.t.Fatalf("got %d records, want one a region", len(records))
	}
	return records
}
