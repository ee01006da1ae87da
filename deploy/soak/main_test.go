package main

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-for", "0s"}, {"-for", "long"}, {"more"}, {"-none"}} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), args, &stdout, &stderr); code != 2 || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%q: got %d, %q, %q", args, code, &stdout, &stderr)
		}
	}
}

// samples returns n samples, of which of gives the memory by the hour.
func samples(n int, every time.Duration, of func(hours float64) float64) (all []sample) {
	for i := range n {
		at := time.Duration(i) * every
		all = append(all, sample{at: at, resident: of(at.Hours()), goroutines: 40, descriptors: 20, series: 100})
	}
	return all
}

func TestSlope(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		of   func(float64) float64
		want float64
	}{
		"level":                         {func(float64) float64 { return 40e6 }, 0},
		"a leak":                        {func(h float64) float64 { return 40e6 + 2e6*h }, 2e6},
		"warming up":                    {func(h float64) float64 { return 40e6 - 20e6*max(0, 0.3-h) }, 0},
		"a saw, as of a collected heap": {func(h float64) float64 { return 40e6 + 1e6*math.Mod(h*60, 1) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := slope(samples(720, 5*time.Second, test.of), func(s sample) float64 { return s.resident })
			if math.Abs(got-test.want) > 5e4 {
				t.Errorf("got %.0f bytes an hour, want %.0f", got, test.want)
			}
		})
	}
	if got := slope(samples(1, time.Second, func(float64) float64 { return 1 }), func(s sample) float64 { return s.resident }); got != 0 {
		t.Errorf("of one sample: got %v", got)
	}
}

// TestEnviron: where memory's growth is not judged, wellkey runs as shipped.
func TestEnviron(t *testing.T) {
	t.Parallel()
	for long, want := range map[time.Duration]bool{time.Minute: false, judgedFrom: true, time.Hour: true} {
		s := &soak{o: options{long: long}}
		if got := slices.Contains(s.environ(), "GOGC=100"); got != want {
			t.Errorf("for %v: %q", long, s.environ())
		}
	}
}

// good returns a result in which nothing is wrong.
func good() *result {
	s := &soak{o: options{long: time.Hour}, tallies: newTallies(), faults: newFaults(), start: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	s.tallies.add("whole handshake", true, 12*time.Millisecond, nil)
	s.tallies.add("garbage", false, time.Millisecond, errors.New("closed"))
	r := newResult(s)
	r.before = sample{resident: 40e6, goroutines: 27, descriptors: 14, series: 100}
	r.after = r.before
	r.under = samples(720, 5*time.Second, func(float64) float64 { return 41e6 })
	r.read(`{"level":"info","time":"2026-11-25T12:00:00.000Z","message":"reloaded"}` + "\n")
	return r
}

// TestWrong: everything that must not be is told, and nothing else.
func TestWrong(t *testing.T) {
	t.Parallel()
	if wrong := good().wrong(); len(wrong) > 0 {
		t.Fatalf("nothing is wrong, and it says %q", wrong)
	}
	for want, change := range map[string]func(*result){
		"1 answers had wrong bytes":                             func(r *result) { r.s.tallies.add("garbage", false, 0, errWrong) },
		`"whole handshake" failed 1 times of 2; first: refused`: func(r *result) { r.s.tallies.add("whole handshake", true, 0, errors.New("refused")) },
		"27 goroutines before the load and 28 after it":         func(r *result) { r.after.goroutines++ },
		"14 descriptors before the load and 15 after it":        func(r *result) { r.after.descriptors++ },
		"2 series of sites that have gone; first: a":            func(r *result) { r.left = []string{"a", "b"} },
		"memory grows by 2.00 MB an hour": func(r *result) {
			r.under = samples(720, 5*time.Second, func(h float64) float64 { return 40e6 + 2e6*h })
		},
		"1 panics": func(r *result) { r.panics = 1 },
		"1 lines of the log are not what they should be; first:": func(r *result) { r.read("goroutine 1 [running]:\n") },
		"201 lines in the log in one minute; 201 of": func(r *result) {
			r.read(strings.Repeat(`{"time":"2026-11-25T12:00:00.000Z","message":"again"}`+"\n", 201))
		},
		"exit status 1 after SIGTERM": func(r *result) { r.exit = 1 },
	} {
		r := good()
		change(r)
		if wrong := r.wrong(); len(wrong) != 1 || !strings.HasPrefix(wrong[0], want) {
			t.Errorf("got %q, want %q", wrong, want)
		}
	}
	short := good()
	short.s.o.long = time.Minute
	short.under = samples(12, 5*time.Second, func(h float64) float64 { return 40e6 + 2e6*h })
	if wrong := short.wrong(); len(wrong) > 0 {
		t.Errorf("a minute is too short to judge the growth, and it says %q", wrong)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	r := good()
	r.of = "wellkey of a test"
	text := r.markdown()
	if !strings.HasPrefix(text, "Taken on ") || !strings.Contains(text, " of wellkey of a test on ") {
		t.Errorf("the report does not tell which wellkey it is of:\n%s", text)
	}
	for _, line := range []string{
		"1h0m0s, 2 operations, of which 0 failed that should not have, and 0 had a wrong byte. Of 0 requests to Tesla and the CA 0 got a",
		"| goroutines | 27 | 40 to 40 | 27 |",
		"| resident memory | 38.1 MiB | 39.1 MiB to 39.1 MiB | 38.1 MiB |",
		"Over the last two thirds, resident memory rises by 0.00 MB an hour, by least squares over 480 samples (less than 1 MB is wanted).",
		"| whole handshake | 1 | 0 | 12 ms |",
		"| garbage | 1 | - | 1 ms |",
	} {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("there is no line %q in\n%s", line, text)
		}
	}
}
