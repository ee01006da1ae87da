package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wellkey/internal/testhost"
)

// costs are what wellkey's processor time goes into, by scenario.
type costs struct {
	Taken string // the day
	Of    map[string]*cost
}

// A cost is that of one scenario.
type cost struct {
	Each    float64        // µs of processor for one operation, while it was profiled
	Samples int            // of the profile, at 100 a second
	Classes map[string]int // samples by class
}

// profiled reports whether a scenario can be: one that loads wellkey alone.
func (s *scenario) profiled() bool {
	return s.prepare != nil && s.own() == wellkey && s.unit == unitCPU
}

// profile finds out what the processor time of wellkey goes into under each load,
// beside nobody, and tells it. It leaves the profiles in one, if that is asked for, and
// else what it found in the documents.
func (b *bench) profile(ctx context.Context, top string, stdout io.Writer) error {
	r, address, err := b.stage.launchProfiled(ctx)
	if err != nil {
		return err
	}
	b.all = append(b.all, r)
	got := &costs{Taken: time.Now().Format(time.DateOnly), Of: map[string]*cost{}}
	var files []string
	for _, s := range b.o.scenarios {
		if !s.profiled() {
			continue
		}
		b.say("%s: %s", s.name, s.title)
		file := filepath.Join(b.stage.dir, s.name+".pprof")
		each, err := profileOf(ctx, r, s, address, b.o.profiled, file)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, r.ended(err))
		}
		traces, err := tracesIn(ctx, file)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		files = append(files, file)
		got.Of[s.name] = costOf(traces, each)
		got.Of[s.name].print(stdout, s, traces)
	}
	if b.o.pgo != "" {
		if err := merge(ctx, files, b.o.pgo); err != nil {
			return err
		}
	}
	if b.o.short {
		_, err := fmt.Fprintln(stdout, "\nshort form: for its functioning only")
		return err
	}
	if b.o.pgo != "" {
		return nil
	}
	kept, err := resultsIn(filepath.Join(top, keptFile))
	if err != nil {
		return err
	}
	if kept.Profile != nil {
		maps.Copy(kept.Profile.Of, got.Of)
		got.Of = kept.Profile.Of
	}
	kept.Profile = got
	return errors.Join(kept.save(filepath.Join(top, keptFile)), kept.write(top))
}

// launchProfiled starts the wellkey that gives profiles at an address, and waits until
// it has nothing else to do. The caller stops it.
func (s *stage) launchProfiled(ctx context.Context) (r *running, address string, err error) {
	if address, err = testhost.Addr(); err != nil {
		return nil, "", err
	}
	cmd := exec.Command(s.deed.programs.profiled, address, "serve")
	cmd.Env = append([]string{"HOME=" + s.world.DataDir}, s.world.Environ()...)
	started, err := launch(cmd)
	if err != nil {
		return nil, "", err
	}
	r = &running{process: started, name: wellkey, target: s.deed.target(s.world.HTTPSAddr)}
	if err := errors.Join(r.awaitFirst(ctx, &r.target, time.Minute), r.settle(ctx, shortLook, time.Minute)); err != nil {
		r.stop()
		return nil, "", err
	}
	return r, address, nil
}

// profileOf loads a server as a scenario does, leaves the profile of that time in a
// file, and returns what one operation has cost.
func profileOf(ctx context.Context, r *running, s *scenario, address string, during time.Duration, file string) (each sample, err error) {
	ready, err := s.prepare(ctx, r)
	if err != nil {
		return 0, err
	}
	if ready.close != nil {
		defer ready.close()
	}
	if _, err := ready.window(ctx, r, during/10); err != nil { // what is slow the first time
		return 0, err
	}
	seconds := max(1, int(during.Seconds()))
	fetched := make(chan error, 1)
	go func() { fetched <- fetchProfile(ctx, address, seconds, file) }()
	each, err = ready.window(ctx, r, time.Duration(seconds)*time.Second)
	return each, errors.Join(err, <-fetched)
}

// fetchProfile asks for the profile of so many seconds, and writes it into a file.
func fetchProfile(ctx context.Context, address string, seconds int, file string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+visitPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, seconds), nil)
	if err != nil {
		return err
	}
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("fetching the profile: %s: %s", resp.Status, text)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o600)
}

// pprof runs Go's own tool.
func pprof(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"tool", "pprof"}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go tool pprof: %w\n%s", err, &said)
	}
	return out, nil
}

func tracesIn(ctx context.Context, file string) ([]trace, error) {
	text, err := pprof(ctx, "-traces", "-sample_index=samples", file)
	if err != nil {
		return nil, err
	}
	return tracesOf(text)
}

// merge writes several profiles as one.
func merge(ctx context.Context, files []string, into string) error {
	_, err := pprof(ctx, append([]string{"-proto", "-output=" + into}, files...)...)
	return err
}

// costOf sorts the samples of a profile.
func costOf(traces []trace, each float64) *cost {
	c := &cost{Each: each, Classes: map[string]int{}}
	for _, t := range traces {
		class, _ := t.class()
		c.Samples += t.samples
		c.Classes[class] += t.samples
	}
	return c
}

// part returns the share of a class.
func (c *cost) part(class string) float64 { return float64(c.Classes[class]) / float64(c.Samples) }

// doubt returns how far a part of that size may be off, 9 times of 10: samples fall
// as chance has it.
func (c *cost) doubt(part float64) float64 {
	return 1.645 * math.Sqrt(part*(1-part)/float64(c.Samples))
}

// heaviest is how many functions of a class are printed.
const heaviest = 4

// print tells it to whoever runs this, with the functions that weigh most.
func (c *cost) print(out io.Writer, s *scenario, traces []trace) {
	fmt.Fprintf(out, "\n%s: %s µs of processor, %d samples\n", s.title, figure(c.Each), c.Samples)
	within := map[string]map[string]int{}
	for _, t := range traces {
		class, function := t.class()
		if within[class] == nil {
			within[class] = map[string]int{}
		}
		within[class][function] += t.samples
	}
	for _, class := range classes {
		fmt.Fprintf(out, "  %5.1f %%  %6s µs  %s\n", 100*c.part(class), figure(c.part(class)*c.Each), strings.ReplaceAll(class, "`", ""))
		names := slices.SortedFunc(maps.Keys(within[class]), func(a, b string) int {
			return cmp.Or(within[class][b]-within[class][a], strings.Compare(a, b))
		})
		for _, name := range names[:min(heaviest, len(names))] {
			fmt.Fprintf(out, "    %5.1f %%  %s\n", 100*float64(within[class][name])/float64(c.Samples), name)
		}
	}
}

// text returns the part of docs/performance.md.
func (c *costs) text() string {
	if c == nil {
		return "Not profiled yet."
	}
	var b strings.Builder
	var those []*scenario
	for _, s := range scenarios {
		if c.Of[s.name] != nil {
			those = append(those, s)
		}
	}
	row := func(first string, cell func(*scenario, *cost) string) {
		fmt.Fprintf(&b, "| %s |", first)
		for _, s := range those {
			fmt.Fprintf(&b, " %s |", cell(s, c.Of[s.name]))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "Taken on %s. Parts of wellkey's processor time in percent, and in brackets the µs for one operation.\n\n", c.Taken)
	row("what it goes into", func(s *scenario, _ *cost) string { return s.title })
	b.WriteString("|---|" + strings.Repeat("---|", len(those)) + "\n")
	for _, class := range classes {
		row(class, func(_ *scenario, c *cost) string {
			return fmt.Sprintf("%.1f (%s)", 100*c.part(class), figure(c.part(class)*c.Each))
		})
	}
	row("all", func(_ *scenario, c *cost) string { return fmt.Sprintf("100 (%s)", figure(c.Each)) })
	row("samples; what 10 % are known to", func(_ *scenario, c *cost) string { return fmt.Sprintf("%d; ±%.1f", c.Samples, 100*c.doubt(0.1)) })
	return strings.TrimSuffix(b.String(), "\n")
}
