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

// quoted are the ratios that the README tells: for what a visit mostly is, beside the
// quickest peer, and for what else an operator pays for, beside the one most like it.
var quoted = []struct {
	scenario, peer, text string
}{
	{"x25519", nginx, "a visit with a whole TLS handshake takes %s the processor time of nginx's"},
	{"h2", caddy, "a request over HTTP/2 takes %s the processor time of Caddy's"},
	{"open", caddy, "with 9,800 idle connections it needs %s the memory of Caddy"},
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
