package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wellkey/deploy/document"
)

// The documents that are written, and the names of the parts of them that are.
const (
	reportFile = "docs/performance.md"
	plotFile   = "docs/performance.svg"
	keptFile   = "docs/performance.json"
	readmeFile = "README.md"
	benchPart  = "bench"
	costsPart  = "profile"
)

// A part is what stands in a document between two marks.
type part struct{ file, name, text string }

// parts are all that come from what was measured.
func (r *results) parts() []part {
	return []part{{reportFile, benchPart, r.report()}, {reportFile, costsPart, r.Profile.text()}, {readmeFile, benchPart, r.readme()}}
}

// write brings the documents in a folder up to date.
func (r *results) write(top string) error {
	for _, p := range r.parts() {
		if err := document.Put(filepath.Join(top, p.file), p.name, p.text); err != nil {
			return err
		}
	}
	if len(r.Scenarios) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(top, plotFile), []byte(r.plot()), 0o644)
}

// report returns the part of docs/performance.md.
func (r *results) report() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if len(r.Scenarios) == 0 {
		return "Not measured yet."
	}
	m := r.Machine
	line("Taken on %s on a machine with %d cores (%s, %s), with Go %s: wellkey %s, nginx %s on OpenSSL %s, HAProxy %s, Caddy %s.",
		r.days(), m.Cores, m.Processor, m.Kernel, m.Go, m.Versions[wellkey], m.Versions[nginx], m.Versions["openssl"], m.Versions[haproxy], m.Versions[caddy])
	line("\nRatios of processor time say how much cheaper wellkey is; of memory, time and size, how much of the peer's it needs. In brackets is the 90 %% interval.\n")
	line("| work | against | goal | measured | n | verdict |")
	line("|---|---|---|---|---|---|")
	for _, g := range goals {
		s, got := scenarioOf(g.scenario), r.Scenarios[g.scenario]
		against := titleOf(g.peer)
		if g.peer == wellkey {
			against = "its own with one"
		}
		switch {
		case got == nil:
			line("| %s | %s | %s | not measured | | |", s.title, against, g.wanted())
		case got.Void != "":
			line("| %s | %s | %s | void: %s | | |", s.title, against, g.wanted(), got.Void)
		default:
			ratio, n := g.ratio(got)
			line("| %s | %s | %s | %s | %d | %s |", s.title, against, g.wanted(), interval(ratio), n, g.verdict(ratio))
		}
	}
	line("\n![Each scenario: what every server needs, beside nginx](performance.svg)\n")
	line("| scenario, in | what each needs, the median | control |")
	line("|---|---|---|")
	for _, s := range scenarios {
		got := r.Scenarios[s.name]
		if got == nil {
			continue
		}
		var each []string
		for _, name := range s.peers {
			if name != oneAgain && len(got.Samples[name]) > 0 {
				each = append(each, fmt.Sprintf("%s %s", titleOf(name), figure(got.of(name).Mid)))
			}
		}
		control := "none"
		if s.control[0] != "" {
			control = interval(got.ratio(s.control[0], s.control[1]))
		}
		line("| %s, %s | %s | %s |", s.title, s.unit, strings.Join(each, "; "), control)
	}
	if r.Floor != nil {
		line("\n%s", r.Floor.text())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// text tells the arithmetic of the floor.
func (f *floor) text() string {
	var calls []string
	for _, name := range slices.Sorted(maps.Keys(f.Calls)) {
		calls = append(calls, fmt.Sprintf("%s %.1f", titleOf(name), f.Calls[name]))
	}
	return fmt.Sprintf(`The arithmetic, the quickest of many in Go on the same machine: an ECDSA signature %.0f µs, an X25519 key and exchange %.0f µs, an
encapsulation of ML-KEM-768 %.0f µs. Of a handshake with X25519 that is %.0f µs, with ML-KEM %.0f µs; the rest is the key schedule, the
records, and system calls. System calls of the server for one visit, counted with strace: %s.`,
		f.Sign, f.Exchange, f.Encapsulate, f.Sign+f.Exchange, f.Sign+f.Exchange+f.Encapsulate, strings.Join(calls, ", "))
}

// days tells when it was taken.
func (r *results) days() string {
	var days []string
	for _, m := range r.Scenarios {
		days = append(days, m.Taken)
	}
	slices.Sort(days)
	first, last := days[0], days[len(days)-1]
	if first == last {
		return first
	}
	return first + " to " + last
}

func interval(s span) string { return fmt.Sprintf("%.2f× [%.2f–%.2f]", s.Mid, s.Low, s.High) }

// figure writes a number with three digits that count.
func figure(f float64) string {
	switch {
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.2f", f)
}

// quoted are the goals whose ratios the README tells.
var quoted = []struct {
	scenario, peer, text string
}{
	{"x25519", nginx, "a visit with a whole TLS handshake takes %s the processor time of nginx's"},
	{"start", nginx, "the start to the first answer takes %s the time of nginx's"},
	{"idle", caddy, "at rest it needs %s the memory of Caddy"},
}

// readme returns the lines of the README.
func (r *results) readme() string {
	var told []string
	for _, q := range quoted {
		got := r.Scenarios[q.scenario]
		if got == nil || got.Void != "" {
			continue
		}
		told = append(told, fmt.Sprintf(q.text, fmt.Sprintf("%.2f×", got.ratio(wellkey, q.peer).Mid)))
	}
	if len(told) == 0 {
		return "`make bench` compares it with nginx, HAProxy and Caddy on your machine."
	}
	return fmt.Sprintf("Beside its peers on one core: %s.\n`make bench` measures it on your machine; what is met and what is not: [docs/performance.md](docs/performance.md).", strings.Join(told, ";\n"))
}
