package main

import (
	"fmt"
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
			line("| %s | %s | %s | %s | %d | %s |", s.title, against, g.wanted(), interval(ratio), n, g.told(got))
		}
	}
	if text := r.agreement().text(); text != "" {
		line("\n%s", text)
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
			if needed := got.of(name).Mid; name != oneAgain && needed > 0 {
				each = append(each, fmt.Sprintf("%s %s", titleOf(name), figure(needed)))
			}
		}
		control := "none"
		if ratio := got.ratio(s.control[0], s.control[1]); ratio.Mid > 0 {
			control = interval(ratio)
		}
		line("| %s, %s | %s | %s |", s.title, s.unit, strings.Join(each, "; "), control)
	}
	for _, text := range []string{r.arithmetic(), r.distance()} {
		if text != "" {
			line("\n%s", text)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
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

// interval writes a ratio, small ones with one more digit.
func interval(s span) string {
	if s.Mid < 1 {
		return fmt.Sprintf("%.3f× [%.3f–%.3f]", s.Mid, s.Low, s.High)
	}
	return fmt.Sprintf("%.2f× [%.2f–%.2f]", s.Mid, s.Low, s.High)
}

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

// quoted are the rows that the README tells: what a visit mostly is, and what else an
// operator pays for. Each has the figure of every peer in compared, also where wellkey
// needs more.
var quoted = []struct{ scenario, text string }{
	{"x25519", "processor time of a visit with a whole TLS handshake, X25519"},
	{"mlkem", "processor time of a visit with a whole TLS handshake, ML-KEM offered as browsers do"},
	{"h1", "processor time of a request on a kept connection, HTTP/1.1"},
	{"h2", "processor time of a request on a kept connection, HTTP/2"},
	{"open", "memory with 9,800 idle connections"},
}

// compared are the peers that the README names, as its columns are.
var compared = []string{nginx, caddy}

// readme returns the lines of the README.
func (r *results) readme() string {
	var rows []string
	for _, q := range quoted {
		got := r.Scenarios[q.scenario]
		if got == nil || got.Void != "" {
			continue
		}
		row := "| " + q.text + " |"
		for _, peer := range compared {
			told := "not measured"
			if ratio := got.ratio(wellkey, peer); ratio.Mid > 0 {
				told = figure(ratio.Mid) + "×"
			}
			row += " " + told + " |"
		}
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return "`make bench` compares it with nginx, HAProxy and Caddy on your machine."
	}
	return "What wellkey needs on one core, as a multiple of what its peers need (below 1: less than they):\n\n" +
		"| | nginx | Caddy |\n|---|---|---|\n" + strings.Join(rows, "\n") +
		"\n\n`make bench` measures it on your machine; what is met and what is not: [docs/performance.md](docs/performance.md)."
}
