package skew_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"wellkey/internal/skew"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dated(at time.Time) http.Header {
	return http.Header{"Date": {at.UTC().Format(http.TimeFormat)}}
}

func TestAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := skew.New(nil)
		want := func(when string, most, least time.Duration, wantKnown bool) {
			t.Helper()
			if ahead, known := c.Ahead(); known != wantKnown || ahead > most || ahead < least {
				t.Errorf("%s: got %v, %t, want %v to %v, %t", when, ahead, known, least, most, wantKnown)
			}
		}
		want("before any answer", 0, 0, false)
		c.Note(http.Header{})
		c.Note(http.Header{"Date": {"yesterday"}})
		want("after answers without a date", 0, 0, false)
		c.Note(dated(time.Now().Add(-10 * time.Minute)))
		want("fast", 10*time.Minute+time.Second, 10*time.Minute, true)
		c.Note(dated(time.Now().Add(time.Hour)))
		want("slow", -time.Hour+time.Second, -time.Hour, true)
		c.Note(http.Header{})
		want("after one more without a date", -time.Hour+time.Second, -time.Hour, true)
		time.Sleep(5 * time.Hour)
		want("five hours later", -time.Hour+time.Second, -time.Hour, true)
		time.Sleep(2 * time.Hour)
		want("seven hours later", 0, 0, false)
		c.Note(dated(time.Now()))
		want("right", time.Second, 0, true)
	})
}

// TestClockThatIsSet: a comparison does not outlive the clock that it was of.
func TestClockThatIsSet(t *testing.T) {
	const hour = time.Hour
	for name, test := range map[string]struct {
		ticked, shown time.Duration
		want          bool
	}{
		"at once":              {0, 0, false},
		"an hour later":        {hour, hour, false},
		"brought right slowly": {hour, hour + 30*time.Second, false},
		"set forward":          {hour, 2 * hour, true},
		"set back":             {hour, -10 * 365 * 24 * hour, true},
		"asleep for a month":   {time.Minute, 30 * 24 * hour, true},
	} {
		if got := skew.JumpedBy(test.ticked, test.shown); got != test.want {
			t.Errorf("%s: got %t, want %t", name, got, test.want)
		}
	}
	now := time.Now()
	if skew.Jumped(now, now.Add(hour)) || skew.Jumped(now.Round(0), now.Add(hour)) {
		t.Error("time that only passes is no jump")
	}
}
