package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"wellkey/deploy/document"
)

// tables prints what was measured, in Markdown.
type tables struct {
	out    io.Writer
	counts []count
	err    error // the first of writing
}

func (t *tables) line(format string, args ...any) {
	if _, err := fmt.Fprintf(t.out, format+"\n", args...); err != nil && t.err == nil {
		t.err = err
	}
}

// machine says on what it was measured.
func (t *tables) machine(ctx context.Context, binary string) {
	version, _ := exec.CommandContext(ctx, binary, "version").Output() // it is said below that it is not known
	load, _ := os.ReadFile("/proc/loadavg")
	t.line("%s, %s/%s, %d processors (%s), Go %s; load before: %s.", strings.TrimSpace(first(string(version), "\n")), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), document.Processor(), strings.TrimPrefix(runtime.Version(), "go"), first(string(load), " "))
}

func first(text, separator string) string {
	word, _, _ := strings.Cut(text, separator)
	return word
}

// many prints the row of a number of sites; nil = the heading.
func (t *tables) many(c *count) {
	if c == nil {
		t.line("\n| sites | first 200 | all loaded | all looked at | PSS loaded | PSS looked at | resident | a site | goroutines | idle | one more | stop | a scrape |")
		t.line("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
		return
	}
	looked := duration(c.looked)
	if c.looked == 0 {
		looked = fmt.Sprintf("%d of them", c.looks)
	}
	goroutines, scraped := fmt.Sprintf("%.0f", c.scraped.goroutines), fmt.Sprintf("%s, %.1f MB", duration(c.scraped.took), float64(c.scraped.bytes)/1e6)
	if c.scraped.bytes == 0 {
		goroutines, scraped = "-", "none in time"
	}
	site := "-"
	if c.sites >= 1000 { // else it is lost in what wellkey needs for itself
		base := 0.0
		if len(t.counts) > 0 && t.counts[0].sites == 1 {
			base = t.counts[0].share
		}
		site = fmt.Sprintf("%.1f KiB", (c.share-base)/1024/float64(c.sites))
	}
	t.line("| %s | %s | %s | %s | %.0f MiB | %.0f MiB | %.0f MiB | %s | %s | %.1f %% | %s (%s) | %s | %s |", number(c.sites), duration(c.first), duration(c.loaded), looked,
		c.loadedShare/(1<<20), c.share/(1<<20), c.memory/(1<<20), site, goroutines, 100*c.idle, duration(c.add), duration(c.worstAdd), duration(c.stopped), scraped)
}

// handshakes prints what handshakes cost with each number of sites.
func (t *tables) handshakes() {
	t.line("\n| sites | one site | processor | %s of them | processor | to one | all of them | processor | to one |", number(few))
	t.line("|---|---|---|---|---|---|---|---|---|")
	for _, c := range t.counts {
		t.line("| %s | %.0f/s | %d µs | %.0f/s | %d µs | %.2f | %.0f/s | %d µs | %.2f |", number(c.sites),
			c.one.perSecond(), c.one.cost().Microseconds(), c.few.perSecond(), c.few.cost().Microseconds(), ratio(c.few, c.one),
			c.many.perSecond(), c.many.cost().Microseconds(), ratio(c.many, c.one))
	}
}

// ratio compares the processor time for a handshake.
func ratio(a, b rate) float64 {
	if b.cost() == 0 {
		return 0
	}
	return float64(a.cost()) / float64(b.cost())
}

// cold prints what was measured of sites that began with nothing.
func (t *tables) cold(c *coldRun) {
	t.line("\n| sites from nothing | all registered in both regions | certificates | registrations | requests to Tesla |")
	t.line("|---|---|---|---|---|")
	t.line("| %s | %s | %s, %.2f/s | %s, %.2f/s | %d |", number(c.sites), duration(c.decided), duration(c.certificates.took()), c.certificates.perSecond(),
		duration(c.registered.took()), c.registered.perSecond(), c.requests)
}

// number writes n with commas between thousands.
func number(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// duration writes d as people read it.
func duration(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
