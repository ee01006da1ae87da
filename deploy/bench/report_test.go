package main

import (
	"encoding/xml"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fixed returns results that are easy to reckon with.
func fixed() *results {
	times := func(n int, f float64) (all []sample) {
		for range n {
			all = append(all, f)
		}
		return all
	}
	return &results{
		Machine: machine{Processor: "Test <&> Processor", Kernel: "Linux 6.1", Go: "1.26", Cores: 2, Versions: map[string]string{nginx: "1.22.1"}},
		Floor:   &floor{Sign: 20, Exchange: 80, Encapsulate: 30, Calls: map[string]float64{nginx: 15, wellkey: 13}},
		Scenarios: map[string]*measured{
			"x25519": {Taken: "2026-11-25", Samples: map[string][]sample{wellkey: times(15, 200), nginx: times(15, 260), nginxAgain: times(15, 260), haproxy: times(15, 300), caddy: times(15, 220), bare: times(15, 190)}},
			"h1":     {Taken: "2026-11-26", Samples: map[string][]sample{wellkey: times(15, 20)}, Void: "the control came out at 1.20, outside of 0.93 to 1.07"},
			"idle":   {Taken: "2026-11-25", Samples: map[string][]sample{wellkey: times(5, 12), nginx: times(5, 15), nginxAgain: times(5, 15), haproxy: times(5, 17), caddy: times(5, 48)}},
		},
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	got := fixed().report()
	for _, want := range []string{
		"Taken on 2026-11-25 to 2026-11-26 on a machine with 2 cores (Test <&> Processor, Linux 6.1), with Go 1.26:",
		"| full handshake + GET, X25519 | nginx | at least 1.2×, then 1.4× | 1.30× [1.30–1.30] | 15 | met; 1.4×: not met |",
		"| full handshake + GET, X25519 | Caddy, respond | at least 1.2× | 1.10× [1.10–1.10] | 15 | not met |",
		"| full handshake + GET, X25519 | HAProxy | is told | 1.50× [1.50–1.50] | 15 | no goal |",
		"| keep-alive, HTTP/1.1 | nginx | at least 0.72×, then 1× | void: the control came out at 1.20, outside of 0.93 to 1.07 | | |",
		"| memory at rest (PSS) | nginx | at most 0.9× | 0.800× [0.800–0.800] | 5 | met |",
		"| memory at rest (PSS) | Caddy, respond | at most 0.27× | 0.250× [0.250–0.250] | 5 | met |",
		"| full handshake + GET with 10,000 certificates | its own with one | at most 1.05× | not measured | | |",
		"| full handshake + GET, X25519, µs of processor | wellkey 200; nginx 260; nginx again 260; HAProxy 300; Caddy, respond 220; bare crypto/tls 190 | 1.00× [1.00–1.00] |",
		"signature 20 µs, an X25519 key and exchange 80 µs", "with X25519 that is 100 µs, with ML-KEM 130 µs", "strace: nginx 15.0, wellkey 13.0.",
		"So of the 190 µs of bare crypto/tls 100 are arithmetic, and 90.0 the key schedule", "comes out at 1.37× [1.37–1.37], and wellkey takes 10.0 µs more than it.", "is below 1.4× on this machine",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

// The README tells what wellkey loses beside what it wins, and nothing that was not
// measured.
func TestReadme(t *testing.T) {
	t.Parallel()
	r := fixed()
	r.Scenarios["h2"] = &measured{Samples: map[string][]sample{wellkey: {45}, nginx: {9}, caddy: {90}}}
	r.Scenarios["open"] = &measured{Samples: map[string][]sample{wellkey: {45}, caddy: {100}}}
	got := r.readme()
	for _, want := range []string{
		"| | nginx | Caddy |",
		"whole TLS handshake, X25519 | 0.77× | 0.91× |",
		"HTTP/2 | 5.00× | 0.50× |",
		"idle connections | not measured | 0.45× |",
		"`make bench`",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "HTTP/1.1") { // void
		t.Errorf("tells what was not measured:\n%s", got)
	}
	for _, q := range quoted {
		if s := scenarioOf(q.scenario); !slices.Contains(s.peers, nginx) || !slices.Contains(s.peers, caddy) {
			t.Errorf("%s is measured for %q, so a column stays empty", q.scenario, s.peers)
		}
	}
}

func TestPlot(t *testing.T) {
	t.Parallel()
	got := fixed().plot()
	elements := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(got)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		if start, ok := token.(xml.StartElement); ok {
			elements[start.Name.Local]++
		}
	}
	if elements["circle"] != 6+5 { // h1 is void
		t.Errorf("%d points in %v", elements["circle"], elements)
	}
	if strings.Contains(got, "%!") {
		t.Errorf("wrongly formatted:\n%s", got)
	}
	for _, want := range []string{"prefers-color-scheme: dark", "keep-alive, HTTP/1.1, beside nginx (void)"} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	s := scenarioOf("x25519")
	for name, c := range map[string]struct {
		change func(m *measured)
		want   string
	}{
		"all is well":              {func(*measured) {}, ""},
		"a third is disturbed":     {func(m *measured) { clear(m.Samples[caddy][:5]) }, ""},
		"more than that":           {func(m *measured) { clear(m.Samples[caddy][:6]) }, "others used the machine: 9 of 15 windows of Caddy, respond are left"},
		"the control leaves":       {func(m *measured) { m.Samples[nginxAgain] = fixed().Scenarios["x25519"].Samples[bare] }, "the control came out at 1.37, outside of 0.93 to 1.07"},
		"the control is not there": {func(m *measured) { delete(m.Samples, nginxAgain) }, "others used the machine: 0 of 0 windows of nginx again are left"},
	} {
		m := fixed().Scenarios["x25519"]
		c.change(m)
		if got := s.judge(m, 15); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// What is measured anew takes the place of what was.
func TestTake(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kept.json")
	kept, err := resultsIn(path)
	if err != nil || len(kept.Scenarios) != 0 {
		t.Fatalf("without a file: %v, error %v", kept, err)
	}
	kept.take(fixed())
	if err := kept.save(path); err != nil {
		t.Fatal(err)
	}
	kept, err = resultsIn(path)
	if err != nil || kept.report() != fixed().report() {
		t.Fatalf("kept\n%s\nerror %v", kept.report(), err)
	}
	now := fixed()
	maps.DeleteFunc(now.Scenarios, func(name string, _ *measured) bool { return name != "x25519" })
	now.Scenarios["x25519"].Samples[wellkey] = fixed().Scenarios["x25519"].Samples[nginx]
	kept.take(now)
	if got := kept.Scenarios["x25519"].of(wellkey).Mid; got != 260 || len(kept.Scenarios) != 3 {
		t.Errorf("wellkey at %v in %d scenarios", got, len(kept.Scenarios))
	}
}

// The documents are those of docs/performance.json: go run ./deploy/bench -report
func TestDocuments(t *testing.T) {
	t.Parallel()
	const top = "../.."
	r, err := resultsIn(filepath.Join(top, keptFile))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, p := range r.parts() {
		texts[p.file+", "+p.name] = "<!-- " + p.name + " -->\n" + p.text + "\n<!-- /" + p.name + " -->\n"
	}
	if len(r.Scenarios) > 0 {
		texts[plotFile] = r.plot()
	}
	for where, want := range texts {
		file, _, _ := strings.Cut(where, ",")
		text, err := os.ReadFile(filepath.Join(top, file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not what %s gives; write it anew with go run ./deploy/bench -report", where, keptFile)
		}
	}
}
