package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // what Pebble leaves running; see testca
		goleak.IgnoreAnyFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks"))
}

// TestMeasures makes all measurements with few sites: it is about their coming to
// an end with figures that can be, not about the figures.
func TestMeasures(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	code := run(t.Context(), []string{"-sites", "1,4", "-cold", "2", "-seconds", "1", "-patience", "1m", "-dir", t.TempDir()}, &stdout, &stderr)
	if code != 0 {
		t.Fatalf("got %d\n%s%s", code, &stdout, &stderr)
	}
	for _, row := range []string{
		`\| 1 \| \d+ ms \| \d+ ms \| \d+ ms \| [1-9]\d* MiB \| [1-9]\d* MiB \| [1-9]\d* MiB \| - \| [1-9]\d* \| \S+ % \| \d+ ms \(\d+ ms\) \| \d+ ms \| \d+ ms, \S+ MB \|`,
		`\| 4 \| \d+ ms \| \d+ ms \| \d+ ms \| [1-9]\d* MiB \| [1-9]\d* MiB \| [1-9]\d* MiB \| - \| [1-9]\d* \| \S+ % \| \d+ ms \(\d+ ms\) \| \d+ ms \| \d+ ms, \S+ MB \|`,
		`\| 4 \| [1-9]\d*/s \| [1-9]\d* µs \| [1-9]\d*/s \| [1-9]\d* µs \| \d+\.\d\d \| [1-9]\d*/s \| [1-9]\d* µs \| \d+\.\d\d \|`,
		`\| 2 \| \d+ ms \| \d+ ms, \S+/s \| \d+ ms, \S+/s \| 16 \|`,
	} {
		if !regexp.MustCompile(`(?m)^` + row + `$`).MatchString(stdout.String()) {
			t.Errorf("there is no row %s in\n%s", row, &stdout)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-sites", "10,1"}, {"-sites", "few"}, {"-sites", "0"}, {"-cold", "-1"}, {"-seconds", "0"}, {"more"}, {"-none"}} {
		var stdout, stderr strings.Builder
		if code := run(t.Context(), args, &stdout, &stderr); code != 2 || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%q: got %d, %q, %q", args, code, &stdout, &stderr)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "1", 999: "999", 1000: "1,000", 100_000: "100,000", 1_234_567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for d, want := range map[time.Duration]string{1500 * time.Millisecond: "1500 ms", 90 * time.Second: "90 s"} {
		if got := duration(d); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
