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

	// Where the machine may be busy with other things, such as those which keep the
	// collector of garbage waiting.
	fastMemory = 112_000_000
	fastWait   = 5 * time.Second

	// With an application behind it, which may ask for more, in little memory.
	container = 128 << 20
	appWait   = 250 * time.Millisecond

	// So many visits there are during each attack: one in a hundred is one of these then.
	leastVisits = 120
	fastVisits  = 10
)

// A report is what was seen.
type report struct {
	fast  bool
	of    string // which wellkey
	rows  []row
	tail  []string // sentences
	wrong []string
}

// A row is one attack.
type row struct {
	name, saw string
	visited   visited
	far       *visited // from far away; nil = nobody
	beyond    bool     // see attack
	app       bool     // likewise
	began     int      // bytes of memory
	memory    int      // bytes at the most
}

// told returns what became of the attack, and of who came from far away.
func (r row) told() string {
	if r.far == nil {
		return r.saw
	}
	return fmt.Sprintf("%s; from %v away %d of %d right answers, p50 %s, slowest %s", r.saw, farAway, r.far.good, r.far.good+r.far.bad, milliseconds(r.far.p50), milliseconds(r.far.slowest))
}

// attack notes one attack, and judges it.
func (r *report) attack(one row) {
	most, bound, least := mostMemory, mostWait, leastVisits
	if r.fast {
		most, bound, least = fastMemory, fastWait, fastVisits
	}
	if one.app {
		most, bound = container, max(bound, appWait)
	}
	atMost := most
	if n := len(r.rows); n > 0 && r.rows[n-1].memory > most && one.began > most {
		atMost = one.began + one.began/10 // what that one left is its fault alone
	}
	r.rows = append(r.rows, one)
	came := func(who string, v visited) {
		switch {
		case one.beyond:
			if all := max(least, v.bad+v.good); !r.fast && 5*v.good < 4*all {
				r.fault("%s: %d of %d visits%s were right, and four of five are the least; the first that failed: %s", one.name, v.good, all, who, v.first)
			}
		case v.bad > 0:
			r.fault("%s: %d of %d visits%s failed; the first: %s", one.name, v.bad, v.bad+v.good, who, v.first)
		case v.good < least:
			r.fault("%s: only %d visits%s were made, and %d are the least", one.name, v.good, who, least)
		}
	}
	came("", one.visited)
	if one.far != nil {
		came(" from far away", *one.far)
	}
	if !one.beyond && one.visited.p99 > bound {
		r.fault("%s: one visit in a hundred took %v or more, and %v is the most", one.name, one.visited.p99, bound)
	}
	if one.memory > atMost {
		r.fault("%s: wellkey took %s, and %s is the most", one.name, megabytes(one.memory), megabytes(most))
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
	priority := map[bool]string{true: "a low", false: "the lowest"}[r.fast]
	fmt.Fprintf(&b, "%s, %s, %s, %d processors, %s; attackers and visitor on the same, the attackers with %s priority.\n\n", time.Now().UTC().Format("2006-01-02"), r.of, document.Processor(), runtime.NumCPU(), runtime.Version(), priority)
	b.WriteString("| attack | right answers | p50 | p99 | slowest | most memory | what became of it |\n|---|---|---|---|---|---|---|\n")
	for _, one := range r.rows {
		fmt.Fprintf(&b, "| %s | %d of %d | %s | %s | %s | %s | %s |\n", one.name, one.visited.good, one.visited.good+one.visited.bad,
			milliseconds(one.visited.p50), milliseconds(one.visited.p99), milliseconds(one.visited.slowest), megabytes(one.memory), one.told())
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
