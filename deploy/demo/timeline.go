package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"wellkey/internal/finding"
	"wellkey/internal/fleetsim"
	"wellkey/internal/tty"
)

// A timeline tells what happens: the seconds since its start, a mark, and one
// line. It is used by one goroutine at a time.
type timeline struct {
	p     *tty.Printer
	start time.Time
}

func newTimeline(w io.Writer, environ []string) *timeline {
	return &timeline{p: tty.New(w, environ), start: time.Now()}
}

// Widths of the columns before the text. A fingerprint after them still fits
// into 80 columns.
const (
	timeWidth = 7
	markWidth = 9 // the marks used here are short ones: ok, warn, fail
	textAt    = timeWidth + markWidth
)

// heading begins a part of the story.
func (t *timeline) heading(text string) { t.p.Printf("\n%s\n", t.p.Bold(t.p.Wrap(0, text))) }

// event tells what has just happened. An empty status is for what is neither
// good nor bad.
func (t *timeline) event(status finding.Status, format string, args ...any) {
	mark := strings.Repeat(" ", markWidth)
	if status != "" {
		mark = strings.TrimSuffix(t.p.Mark(status), strings.Repeat(" ", tty.MarkWidth-markWidth))
	}
	at := fmt.Sprintf("%*.2f", timeWidth-2, time.Since(t.start).Seconds())
	t.p.Printf("%s  %s%s\n", t.p.Dim(at), mark, t.p.Wrap(textAt, fmt.Sprintf(format, args...)))
}

// detail adds to the last event what label calls it; nothing, if text is empty.
func (t *timeline) detail(label, text string) {
	if text == "" {
		return
	}
	t.p.Printf("%*s%s%s\n", timeWidth, "", t.p.Dim(fmt.Sprintf("%-*s", markWidth, label)), t.p.Wrap(textAt, text))
}

// until says how far away the RFC 3339 time at is.
func until(at string) string {
	when, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return at
	}
	return span(time.Until(when))
}

// span says a duration as people do: in its one unit that fits.
func span(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		switch n := int(max(0, d).Round(unit.size) / unit.size); {
		case d < unit.size*2 && unit.size > time.Second: // 100 minutes say more than 2 hours
		case n == 1:
			return "1 " + unit.name
		default:
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return d.String()
}

// faults lists the faults.
func (t *timeline) faults() {
	all := allFaults(defaultDomain)
	width := 0
	for _, f := range all {
		width = max(width, len(f.name))
	}
	t.p.Print("Refusals and failures of the catalogue:\n")
	for _, f := range all {
		if f.kind == fleetsim.Kinds()[0] {
			t.p.Print("\nOther ways to fail:\n")
		}
		t.p.Printf("  %-*s  %s\n", width, f.name, t.p.Wrap(width+4, f.summary))
	}
}
