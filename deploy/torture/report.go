package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"wellkey/deploy/document"
)

// The bounds.
const (
	mostMemory = 96_000_000
	mostWait   = 100 * time.Millisecond
	fastWait   = 5 * time.Second // where the machine may be busy with other things
)

// A report is what was seen.
type report struct {
	fast  bool
	rows  []row
	tail  []string // sentences
	wrong []string
}

// A row is one attack.
type row struct {
	name, saw string
	visited   visited
	memory    int
}

// attack notes one attack, and judges it.
func (r *report) attack(one row) {
	r.rows = append(r.rows, one)
	bound := mostWait
	if r.fast {
		bound = fastWait
	}
	switch {
	case one.visited.bad > 0:
		r.fault("%s: %d of %d visits failed; the first: %s", one.name, one.visited.bad, one.visited.bad+one.visited.good, one.visited.first)
	case one.visited.good < 5:
		r.fault("%s: only %d visits were made", one.name, one.visited.good)
	}
	if one.visited.p99 > bound {
		r.fault("%s: one visit in a hundred took %v or more, and %v is the most", one.name, one.visited.p99, bound)
	}
	if one.memory > mostMemory {
		r.fault("%s: wellkey took %s, and 96 MB is the most", one.name, megabytes(one.memory))
	}
}

func (r *report) fault(format string, args ...any) {
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (r *report) say(format string, args ...any) {
	r.tail = append(r.tail, fmt.Sprintf(format, args...))
}

// markdown returns the report as it stands in docs/reliability.md.
func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d processors, %s; attackers and visitor on the same, the attackers with the lowest priority.\n\n", time.Now().UTC().Format("2006-01-02"), document.Processor(), runtime.NumCPU(), runtime.Version())
	b.WriteString("| attack | right answers | p50 | p99 | most memory | what became of it |\n|---|---|---|---|---|---|\n")
	for _, one := range r.rows {
		fmt.Fprintf(&b, "| %s | %d of %d | %s | %s | %s | %s |\n", one.name, one.visited.good, one.visited.good+one.visited.bad,
			milliseconds(one.visited.p50), milliseconds(one.visited.p99), megabytes(one.memory), one.saw)
	}
	if len(r.tail) > 0 {
		b.WriteString("\n" + strings.Join(r.tail, "\n") + "\n")
	}
	verdict := "All of it holds."
	if len(r.wrong) > 0 {
		verdict = "Not all of it holds:\n\n- " + strings.Join(r.wrong, "\n- ")
	}
	return b.String() + "\n" + verdict
}

func megabytes(bytes int) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1000) }
