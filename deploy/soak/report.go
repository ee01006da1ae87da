package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"wellkey/deploy/document"
)

// markdown tells what was seen, as a section of a document has it.
func (r *result) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	tallies, wrong := r.s.tallies.list()
	done, failed := 0, 0
	for _, t := range tallies {
		done += t.done
		if t.behave {
			failed += t.failed
		}
	}
	faults := r.s.faults
	line("Taken on %s of %s on %s/%s with %d processors (%s), Go %s; load of the machine before: %s.", r.s.start.UTC().Format(time.DateOnly), r.of,
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), document.Processor(), strings.TrimPrefix(runtime.Version(), "go"), r.load)
	line("%v, %s operations, of which %d failed that should not have, and %d had a wrong byte. Of %s requests to Tesla and the CA %s got a",
		r.s.o.long, number(done), failed, wrong, number(int(faults.asked.Load())), number(int(faults.tesla.Load()+faults.ca.Load())))
	line("fault, which held up %d new sites, and the names of the sites did not resolve %d times for a second. %d panics; %s lines in the log,",
		faults.heldUp.Load(), faults.nameless.Load(), int(r.panics), number(r.lines))
	line("%d in the fullest minute.", r.mostInMinute)
	line("")
	line("| | before | under load | after |")
	line("|---|---|---|---|")
	row := func(name string, of func(sample) float64, write func(float64) string) {
		low, high := of(r.under[0]), of(r.under[0])
		for _, s := range r.under {
			low, high = min(low, of(s)), max(high, of(s))
		}
		line("| %s | %s | %s to %s | %s |", name, write(of(r.before)), write(low), write(high), write(of(r.after)))
	}
	whole := func(v float64) string { return number(int(v)) }
	row("goroutines", func(s sample) float64 { return float64(s.goroutines) }, whole)
	row("descriptors", func(s sample) float64 { return float64(s.descriptors) }, whole)
	row("series at /metrics", func(s sample) float64 { return float64(s.series) }, whole)
	row("heap in use", func(s sample) float64 { return s.heap }, mebibytes)
	row("resident memory", func(s sample) float64 { return s.resident }, mebibytes)
	line("")
	judged := "not judged, for that it was too short"
	if r.s.o.judged() {
		judged = "less than 1 MB is wanted"
	}
	line("Over the last two thirds, resident memory rises by %s an hour, by least squares over %d samples (%s).", megabytes(r.growth()),
		len(r.under)-len(r.under)/3, judged)
	line("")
	line("| done | times | failed | slowest |")
	line("|---|---|---|---|")
	for _, t := range tallies {
		failed := fmt.Sprint(t.failed)
		if !t.behave {
			failed = "-" // as it must
		}
		line("| %s | %s | %s | %s |", t.name, number(t.done), failed, milliseconds(t.slowest))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func mebibytes(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }
func megabytes(bytes float64) string { return fmt.Sprintf("%.2f MB", bytes/1e6) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// number writes n with commas between thousands.
func number(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// loadAverage returns how busy the machine was in the last minute.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	word, _, _ := strings.Cut(string(text), " ")
	return word
}

// tail returns the end of a log.
func tail(text string) string { return text[max(0, len(text)-4096):] }
