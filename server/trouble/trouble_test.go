package trouble_test

import (
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"wellkey/server/trouble"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// However often a server fails and answers in turns, the log has each reason once a
// minute, and so that it answers again.
func TestLogStaysReadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r trouble.Record
		if r.Answered() {
			t.Error("that it answers is told, though nothing was wrong")
		}
		lines := map[string]int{}
		note := func(what string, told bool) {
			if told {
				lines[what]++
			}
		}
		for range 600 {
			note("refused", r.Tell("refused"))
			note("answers", r.Answered())
			note("timeout", r.Tell("timeout"))
			note("answers", r.Answered())
			time.Sleep(time.Second)
		}
		for what, n := range lines {
			if n != 10 {
				t.Errorf("in 10 minutes %s was told %d times", what, n)
			}
		}
		if len(lines) != 3 {
			t.Errorf("told was %v", lines)
		}
	})
}

// What was told last is how it is: that it answers again is not lost when it comes within
// the minute, but told later.
func TestLastLineIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r trouble.Record
		if !r.Tell("refused") || !r.Answered() || !r.Tell("timeout") || r.Answered() {
			t.Fatal("what is told within a minute is wrong")
		}
		time.Sleep(time.Minute)
		if !r.Answered() || r.Answered() {
			t.Error("that it answers again is not told once when the minute is over")
		}
	})
}

// The trouble is that since the server last answered, and an attempt that began before
// that says nothing.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r trouble.Record
		first := time.Now()
		if r.Now() != (trouble.Trouble{}) || !r.Failed(first, "a", "b", "c") {
			t.Fatal("the first failure is not noted")
		}
		time.Sleep(time.Hour)
		r.Failed(time.Now(), "d", "e", "f")
		if got := r.Now(); got != (trouble.Trouble{Since: first, Last: first.Add(time.Hour), Error: "d", Cause: "e", Fix: "f"}) {
			t.Errorf("got %+v", got)
		}
		time.Sleep(time.Second)
		r.Answered()
		if late := r.Failed(first, "a", "b", "c"); late || r.Now() != (trouble.Trouble{}) {
			t.Errorf("after it answered: %+v", r.Now())
		}
		if again := time.Now(); !r.Failed(again, "a", "b", "c") || r.Now().Since != again {
			t.Errorf("when it fails again: %+v", r.Now())
		}
	})
}
