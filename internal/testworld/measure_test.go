package testworld_test

import (
	"maps"
	"os"
	"testing"

	"go.uber.org/goleak"

	"wellkey/internal/testworld"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What stands at /metrics is read whole, with labels that have spaces, and what cannot be
// read is told.
func TestEachSeries(t *testing.T) {
	t.Parallel()
	read := func(text string) (map[string]float64, error) {
		got := map[string]float64{}
		return got, testworld.EachSeries([]byte(text), func(name string, value float64) { got[name] = value })
	}
	got, err := read("# HELP a b c\na 1\n\nb{what=\"two words 7\"} 2.5e+06\n")
	if want := map[string]float64{"a": 1, `b{what="two words 7"}`: 2.5e6}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
	for _, bad := range []string{"a", "a one\n"} {
		if got, err := read(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	now, err := testworld.Memory(os.Getpid(), testworld.Resident)
	most, also := testworld.Memory(os.Getpid(), testworld.Peak)
	if err != nil || also != nil || now < 1<<20 || most < 1<<20 {
		t.Errorf("got %d and %v, %d and %v", now, err, most, also)
	}
	if got, err := testworld.Memory(os.Getpid(), "VmNothing"); err == nil {
		t.Errorf("got %d", got)
	}
}
