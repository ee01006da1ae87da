package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// What a run may show at most. README's promise is that wellkey needs no
// attention: neither for its memory nor for its log.
const (
	mostGrowth = 1e6 // bytes an hour
	judgedFrom = 30 * time.Minute

	// mostLines is how many lines a minute the log may have. The operator does
	// fifteen things in one, each with a few lines, and those are most of it.
	mostLines = 200
)

// A result is what a run has shown.
type result struct {
	s             *soak
	of            string // which wellkey
	load          string // of the machine, before
	before, after sample // at rest
	under         []sample
	panics        float64
	left          []string // series of sites that have gone
	exit          int

	lines, mostInMinute int
	words               map[string]int // lines by what they say
	suspicious          []string       // lines that tell of a panic
}

func newResult(s *soak) *result { return &result{s: s, load: loadAverage(), words: map[string]int{}} }

// counters reads what wellkey itself counted.
func (r *result) counters(ctx context.Context) error {
	values, err := r.s.w.Metrics(ctx)
	if err != nil {
		return err
	}
	known := false
	for name, value := range values {
		for _, gone := range r.s.passing {
			if strings.Contains(name, `"`+gone.domain+`"`) {
				r.left = append(r.left, name)
			}
		}
		if strings.HasPrefix(name, "wellkey_panics_total") {
			known = true
			r.panics += value
		}
	}
	if !known {
		return fmt.Errorf("the metrics do not say how many panics there were")
	}
	return nil
}

// read reads the log, which is JSON lines with a time.
func (r *result) read(log string) {
	minutes := map[string]int{}
	for line := range strings.Lines(log) {
		r.lines++
		var entry struct {
			Time    string `json:"time"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || strings.Contains(line, "panic") || len(entry.Time) < len("2006-01-02T15:04") {
			r.suspicious = append(r.suspicious, strings.TrimSpace(line))
			continue
		}
		r.words[entry.Message]++
		minutes[entry.Time[:len("2006-01-02T15:04")]]++
	}
	for _, n := range minutes {
		r.mostInMinute = max(r.mostInMinute, n)
	}
}

// growth returns by how much the resident memory rises, in bytes an hour.
func (r *result) growth() float64 {
	return slope(r.under, func(s sample) float64 { return s.resident })
}

// judged reports whether the load lasts long enough to judge the growth.
func (o options) judged() bool { return o.long >= judgedFrom }

// wrong returns all that must not be, in sentences.
func (r *result) wrong() (all []string) {
	add := func(is bool, format string, args ...any) {
		if is {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	tallies, wrong := r.s.tallies.list()
	add(wrong > 0, "%d answers had wrong bytes", wrong)
	for _, t := range tallies {
		add(t.behave && t.failed > 0, "%q failed %d times of %d; first: %v", t.name, t.failed, t.done, t.first)
	}
	add(r.after.goroutines > r.before.goroutines, "%d goroutines before the load and %d after it", r.before.goroutines, r.after.goroutines)
	add(r.after.descriptors > r.before.descriptors, "%d descriptors before the load and %d after it", r.before.descriptors, r.after.descriptors)
	add(len(r.left) > 0, "%d series of sites that have gone; first: %s", len(r.left), strings.Join(r.left[:min(1, len(r.left))], ""))
	add(r.s.o.judged() && r.growth() >= mostGrowth, "memory grows by %s an hour", megabytes(r.growth()))
	add(r.panics > 0, "%.0f panics", r.panics)
	add(len(r.suspicious) > 0, "%d lines of the log are not what they should be; first: %s", len(r.suspicious), strings.Join(r.suspicious[:min(1, len(r.suspicious))], ""))
	add(r.mostInMinute > mostLines, "%d lines in the log in one minute; %s", r.mostInMinute, r.commonest(5))
	add(r.exit != 0, "exit status %d after SIGTERM, want 0", r.exit)
	return all
}

// commonest returns what the log says most often.
func (r *result) commonest(n int) string {
	words := slices.SortedFunc(maps.Keys(r.words), func(a, b string) int { return r.words[b] - r.words[a] })
	var parts []string
	for _, w := range words[:min(n, len(words))] {
		parts = append(parts, fmt.Sprintf("%d of %q", r.words[w], w))
	}
	return strings.Join(parts, ", ")
}
