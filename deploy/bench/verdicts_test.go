package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Met and not met are for whole intervals; in between a run cannot tell.
func TestVerdict(t *testing.T) {
	t.Parallel()
	cheaper, smaller := goal{scenario: "x25519", peer: nginx}, goal{scenario: "idle", peer: nginx}
	own := goal{scenario: "many-cpu", peer: wellkey, own: wellkeyMany}
	for _, c := range []struct {
		goal  goal
		sure  span
		bound float64
		want  verdict
	}{
		{cheaper, span{1.25, 1.3, 1.35}, 1.2, met}, {cheaper, span{1.1, 1.15, 1.19}, 1.2, notMet}, {cheaper, span{1.1, 1.21, 1.3}, 1.2, open}, {cheaper, span{1.1, 1.19, 1.3}, 1.2, open},
		{cheaper, span{1.2, 1.2, 1.2}, 1.2, met}, {cheaper, span{1.1, 1.15, 1.2}, 1.2, open},
		{smaller, span{0.7, 0.8, 0.85}, 0.9, met}, {smaller, span{0.91, 0.95, 1}, 0.9, notMet}, {smaller, span{0.8, 0.85, 0.91}, 0.9, open},
		{smaller, span{0.9, 0.9, 0.9}, 0.9, met}, {smaller, span{0.9, 0.95, 1}, 0.9, open},
		{own, span{1, 1.01, 1.02}, 1.05, met}, {own, span{1.1, 1.2, 1.3}, 1.05, notMet},
	} {
		if got := c.goal.verdict(c.sure, c.bound); got != c.want {
			t.Errorf("%s against %s, %v and %v: got %q, want %q", c.goal.scenario, c.goal.peer, c.sure, c.bound, got, c.want)
		}
	}
}

// The interval of a verdict is as wide as the control makes it, to both sides.
func TestSure(t *testing.T) {
	t.Parallel()
	g := goal{scenario: "x25519", peer: nginx}
	for control, want := range map[float64]span{260: {1.3, 1.3, 1.3}, 250: {1.25, 1.3, 1.352}, 270.4: {1.25, 1.3, 1.352}} {
		m := fixed().Scenarios["x25519"]
		for i := range m.Samples[nginxAgain] {
			m.Samples[nginxAgain][i] = control
		}
		got := g.sure(m)
		for _, d := range []float64{got.Low - want.Low, got.Mid - want.Mid, got.High - want.High} {
			if d < -1e-9 || d > 1e-9 {
				t.Errorf("a control of %v beside 260: got %v, want %v", control, got, want)
				break
			}
		}
	}
	m := fixed().Scenarios["x25519"]
	delete(m.Samples, nginxAgain)
	if got := g.sure(m); got != (span{1.3, 1.3, 1.3}) {
		t.Errorf("without a control: got %v", got)
	}
}

// resultsOf returns results in which a visit costs so much, of a program.
func resultsOf(program string, each float64, void string) *results {
	r := fixed()
	for _, m := range r.Scenarios {
		m.Program = program
	}
	m := r.Scenarios["x25519"]
	m.Void = void
	for i := range m.Samples[wellkey] {
		m.Samples[wellkey][i] = each
	}
	return r
}

func TestAgreement(t *testing.T) {
	t.Parallel()
	const row = "| full handshake + GET, X25519 | nginx | at least 1.2×, then 1.4× |"
	for name, c := range map[string]struct {
		before, now *results
		cell, text  string
	}{
		"the same":        {resultsOf("a", 200, ""), resultsOf("a", 203, ""), "met, twice; 1.4×: not met, twice |", "of 10 verdicts 6 are the same, 0 are open in one run only, for 4 a run is void, 0 contradict"},
		"contradicted":    {resultsOf("a", 200, ""), resultsOf("a", 240, ""), "not met (met the last time); 1.4×: not met, twice |", "- full handshake + GET, X25519 against nginx, 1.2×: not met, and met the last time"},
		"another program": {resultsOf("a", 200, ""), resultsOf("b", 240, ""), "not met; 1.4×: not met |", ""},
		"it was void":     {resultsOf("a", 200, "loud"), resultsOf("a", 200, ""), "met (void the last time); 1.4×: not met (void the last time) |", "for 8 a run is void"},
		"it is void":      {resultsOf("a", 200, ""), resultsOf("a", 200, "loud"), "void: loud |", "for 8 a run is void"},
	} {
		kept := &results{Scenarios: map[string]*measured{}}
		kept.take(c.before)
		kept.take(c.now)
		report := kept.report()
		if _, line, _ := strings.Cut(report, row); !strings.Contains(strings.SplitN(line, "\n", 2)[0], c.cell) {
			t.Errorf("%s: there is no %q in %s", name, c.cell, strings.SplitN(line, "\n", 2)[0])
		}
		text := kept.agreement().text()
		if !strings.Contains(text, c.text) || c.text == "" && text != "" || !strings.Contains(report, text) {
			t.Errorf("%s: got %q, want %q, in\n%s", name, text, c.text, report)
		}
	}
	kept := &results{Scenarios: map[string]*measured{}}
	for range 3 {
		kept.take(resultsOf("a", 200, ""))
	}
	if kept.Scenarios["x25519"].Before.Before != nil {
		t.Error("keeps more than the last run")
	}
	other := resultsOf("a", 200, "")
	other.Machine.Kernel = "Linux 7"
	kept.take(other)
	if kept.Scenarios["x25519"].Before != nil {
		t.Error("compares with what was measured on another machine")
	}
}

// voided returns results of a program of which nothing counts.
func voided(program string) *results {
	r := resultsOf(program, 200, "")
	for _, m := range r.Scenarios {
		m.Void = "loud"
	}
	return r
}

// What a run cannot tell contradicts nothing.
func TestOpen(t *testing.T) {
	t.Parallel()
	now := resultsOf("a", 200, "")
	for i := range now.Scenarios["x25519"].Samples[wellkey] {
		now.Scenarios["x25519"].Samples[wellkey][i] = 203 + 2*float64(i) // 1.28 to 1.13
	}
	kept := &results{Scenarios: map[string]*measured{}}
	kept.take(resultsOf("a", 200, ""))
	kept.take(now)
	if got := kept.agreement(); got.open == 0 || len(got.contradicted) != 1 { // bare is contradicted
		t.Errorf("got %+v", got)
	}
	if report := kept.report(); !strings.Contains(report, "open (met the last time)") {
		t.Errorf("does not say so:\n%s", report)
	}
}

// A run whose verdicts contradict the last ones fails, after it has written what it saw.
func TestTell(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	if err := os.Mkdir(filepath.Join(top, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{reportFile: "<!-- bench -->\n<!-- /bench -->\n<!-- profile -->\n<!-- /profile -->\n", readmeFile: "<!-- bench -->\n<!-- /bench -->\n"} {
		if err := os.WriteFile(filepath.Join(top, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o, err := parse(nil, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for i, run := range []struct {
		got         *results
		fails       string
		says, kept  string
		alsoInTable string
	}{
		{resultsOf("a", 200, ""), "", "was not measured before on this machine", "| met; 1.4×", "| not met |"},
		{resultsOf("a", 203, ""), "", "6 are the same", "| met, twice; 1.4×", "| not met, twice |"},
		{resultsOf("a", 240, ""), "contradict each other", "not met, and met the last time", "| not met (met the last time)", "| not met, twice |"},
		{resultsOf("b", 240, ""), "", "was not measured before on this machine", "| not met; 1.4×", "| not met |"},
		{voided("c"), "", "was not measured before on this machine", "void: loud |", ""},
		{voided("c"), "nothing was compared", "Nothing was compared: of 10 verdicts", "void: loud |", "Nothing was compared: of 10 verdicts"},
	} {
		var stdout strings.Builder
		err := run.got.tell(o, top, &stdout)
		if run.fails == "" && err != nil || run.fails != "" && (err == nil || !strings.Contains(err.Error(), run.fails)) {
			t.Errorf("run %d: error %v, want %q", i+1, err, run.fails)
		}
		written, err := os.ReadFile(filepath.Join(top, reportFile))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(stdout.String(), run.says) || !strings.Contains(string(written), run.kept) || !strings.Contains(string(written), run.alsoInTable) {
			t.Errorf("run %d: there is no %q in\n%s\nor no %q or %q in\n%s", i+1, run.says, &stdout, run.kept, run.alsoInTable, written)
		}
	}
}
