package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// results is all that was measured, as docs/performance.json keeps it.
type results struct {
	Machine   machine
	Floor     *floor `json:",omitempty"`
	Profile   *costs `json:",omitempty"`
	Scenarios map[string]*measured
}

// measured is what one scenario gave.
type measured struct {
	Taken   string              // the day
	Program string              `json:",omitempty"` // that was measured: what it hashes to
	Samples map[string][]sample // by peer; those of one repetition have one index; 0 = void
	Void    string              `json:",omitempty"` // why no ratio of it is told

	// Before is what the last run gave, of the same program on the same machine.
	Before *measured `json:",omitempty"`
}

// put notes the sample of a repetition, over the one of an earlier try.
func (m *measured) put(name string, repetition int, got sample) {
	for len(m.Samples[name]) <= repetition {
		m.Samples[name] = append(m.Samples[name], 0)
	}
	m.Samples[name][repetition] = got
}

// ratio compares two peers, repetition by repetition.
func (m *measured) ratio(a, b string) span { return bootstrap(ratios(m.Samples[a], m.Samples[b])) }

// of returns what a peer needed.
func (m *measured) of(name string) span {
	var valid []float64
	for _, s := range m.Samples[name] {
		if s > 0 {
			valid = append(valid, s)
		}
	}
	return bootstrap(valid)
}

// resultsIn reads a file of results; without one there are none.
func resultsIn(path string) (*results, error) {
	r := &results{Scenarios: map[string]*measured{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	return r, json.Unmarshal(text, r)
}

// save writes them to a file.
func (r *results) save(path string) error {
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// take puts what was measured now over what was measured before. That is kept beside
// it where only chance can have made them differ.
func (r *results) take(now *results) {
	same := r.Machine.equal(now.Machine)
	r.Machine = now.Machine
	if now.Floor != nil {
		r.Floor = now.Floor
	}
	for name, m := range now.Scenarios {
		if before := r.Scenarios[name]; before != nil && same && before.Program == m.Program && m.Program != "" {
			last := *before
			last.Before = nil
			m.Before = &last
		}
		r.Scenarios[name] = m
	}
}
