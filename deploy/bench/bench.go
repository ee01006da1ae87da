package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// A bench measures.
type bench struct {
	o     options
	stage *stage
	all   []*running   // that are up; stopped by down
	many  [2]*measured // what sharedMany shares
	say   func(string, ...any)
}

// longest bounds the whole run, so that nothing hangs.
const longest = 25 * time.Minute

// perform does what is asked for, and leaves nothing behind but the documents.
func perform(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	dir, err := os.MkdirTemp("", "wellkey-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	top, err := repository(ctx)
	if err != nil {
		return err
	}
	if o.report {
		r, err := resultsIn(filepath.Join(top, keptFile))
		if err != nil {
			return err
		}
		return r.write(top)
	}
	began := time.Now()
	b := &bench{o: o, say: func(format string, args ...any) {
		fmt.Fprintf(stderr, "%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}}
	made, err := build(ctx, o, top, dir, b.say)
	if err != nil {
		return err
	}
	if runtime.NumCPU() < 2 {
		return errors.New("one core is not enough: server and client are bound to one each")
	}
	if err := pin(clientCore); err != nil {
		return err
	}
	if b.stage, err = newStage(ctx, dir, made); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stage.close()) }()
	defer b.down()
	if o.profile {
		return b.profile(ctx, top, stdout)
	}
	return b.compare(ctx, top, stdout)
}

// compare measures the scenarios, and tells what came out.
func (b *bench) compare(ctx context.Context, top string, stdout io.Writer) error {
	o := b.o
	got := &results{Machine: look(ctx, b.stage.deed.programs), Scenarios: map[string]*measured{}}
	program, err := hashOf(b.stage.deed.programs.wellkey)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range o.scenarios {
		b.say("%s: %s", s.name, s.title)
		m, err := s.run(ctx, b, s)
		if err != nil { // the others are still worth their time
			err = fmt.Errorf("%s: %w", s.name, err)
			failed = append(failed, err)
			b.say("%v", err)
			b.down()
			if ctx.Err() != nil {
				break
			}
			m = &measured{Void: "it failed when it was measured"}
		}
		m.Taken, m.Program = time.Now().Format(time.DateOnly), program
		if m.Void == "" && !o.short {
			m.Void = s.judge(m, o.repetitions)
		}
		got.Scenarios[s.name] = m
		table(stdout, s, m, o.short)
		if s.name == "x25519" && len(b.all) > 0 {
			if got.Floor, err = floorHere(ctx, b.all, o.counted); err != nil {
				return err
			}
			fmt.Fprintf(stdout, "\n%s\n", got.Floor.text())
		}
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(append(failed, err)...)
	}
	return errors.Join(append(failed, got.tell(o, top, stdout))...)
}

// windows returns how windows are measured in a scenario with so many servers.
func (b *bench) windows(servers int) *windows {
	return &windows{repetitions: b.o.repetitions, during: b.o.window, foreign: b.o.foreign, spare: servers * b.o.repetitions / 4}
}

// up makes sure that these servers run, and returns them.
func (b *bench) up(ctx context.Context, names []string) ([]*running, error) {
	var missing []string
	for _, name := range names {
		if b.running(name) == nil {
			missing = append(missing, name)
		}
	}
	if slices.Contains(missing, wellkeyMany) {
		b.say("  laying %d sites", b.o.many)
		if _, err := b.stage.crowd(ctx, b.o.many); err != nil {
			return nil, err
		}
	}
	more, err := b.stage.launchAll(ctx, missing)
	if err != nil {
		return nil, err
	}
	b.all = append(b.all, more...)
	if one := b.running(wellkey); slices.Contains(missing, oneAgain) {
		again := *one
		again.name = oneAgain
		b.all = append(b.all, &again)
	}
	var those []*running
	for _, name := range names {
		those = append(those, b.running(name))
	}
	return those, nil
}

func (b *bench) running(name string) *running {
	for _, r := range b.all {
		if r.name == name {
			return r
		}
	}
	return nil
}

// down stops all servers.
func (b *bench) down() {
	stopAll(b.all)
	b.all = nil
}

// inTurn measures servers that run one after the other, each alone.
func (b *bench) inTurn(ctx context.Context, s *scenario, repetitions int, one func(ctx context.Context, name string, repetition int) (sample, error)) (*measured, error) {
	b.down()
	w := b.windows(len(s.peers))
	m := &measured{Samples: map[string][]sample{}}
	for i := range repetitions {
		for _, name := range turn(s.peers, i) {
			got, err := w.undisturbed(ctx, nil, func() (sample, error) { return one(ctx, name, i) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			m.put(name, i, got)
		}
		b.say("  %d of %d", i+1, repetitions)
	}
	return m, nil
}

// table prints what a scenario gave.
func table(out io.Writer, s *scenario, m *measured, short bool) {
	fmt.Fprintf(out, "\n%s (%s)\n", s.title, s.unit)
	for _, name := range s.peers {
		of := m.of(name)
		fmt.Fprintf(out, "  %-22s %8.2f", titleOf(name), of.Mid)
		if own := s.own(); !short && m.Void == "" && name != own {
			r := m.ratio(name, own)
			fmt.Fprintf(out, "   %5.2f [%.2f-%.2f] of wellkey's, n=%d", r.Mid, r.Low, r.High, len(ratios(m.Samples[name], m.Samples[own])))
		}
		fmt.Fprintln(out)
	}
	if m.Void != "" {
		fmt.Fprintf(out, "  VOID: %s\n", m.Void)
	}
	if s.control[0] != "" && !short {
		r := m.ratio(s.control[0], s.control[1])
		fmt.Fprintf(out, "  control: %.2f [%.2f-%.2f]\n", r.Mid, r.Low, r.High)
	}
}

// own returns the wellkey of a scenario, which is its first server.
func (s *scenario) own() string { return s.peers[0] }

// tell prints the goals, and writes the documents where what was measured is worth it.
func (r *results) tell(o options, top string, stdout io.Writer) error {
	if o.short {
		_, err := fmt.Fprintln(stdout, "\nshort form: for its functioning only")
		return err
	}
	fmt.Fprintln(stdout)
	for _, g := range goals {
		m := r.Scenarios[g.scenario]
		if m == nil || m.Void != "" {
			continue
		}
		ratio, n := g.ratio(m)
		fmt.Fprintf(stdout, "%-48s %-20s %-24s %-22s n=%-3d %s\n", scenarioOf(g.scenario).title, titleOf(g.peer), g.wanted(), interval(ratio), n, g.told(m))
	}
	if why := o.untold(); why != "" {
		_, err := fmt.Fprintf(stdout, "\nnot written into %s: %s\n", reportFile, why)
		return err
	}
	before, err := resultsIn(filepath.Join(top, keptFile))
	if err != nil {
		return err
	}
	before.take(r)
	if err := errors.Join(before.save(filepath.Join(top, keptFile)), before.write(top)); err != nil {
		return err
	}
	agreed := before.agreement()
	fmt.Fprintf(stdout, "\n%s\n", cmp.Or(agreed.text(), "This program was not measured before on this machine: measure it again to see whether the verdicts agree."))
	switch {
	case agreed.nothing():
		return errors.New("nothing was compared with the run before: measure again, on an idle machine")
	case len(agreed.contradicted) > 0:
		return errors.New("the verdicts of two runs contradict each other, so one of both was disturbed: measure again, on an idle machine")
	}
	return nil
}

// untold says why what was measured does not go into the documents; "" if it does.
func (o options) untold() string {
	switch {
	case o.repetitions < 15:
		return "fewer than 15 repetitions"
	case o.foreign > 0.05:
		return "others might use more than 0.05 of a core"
	case o.binary != "":
		return "the program was given with -binary"
	}
	return ""
}
