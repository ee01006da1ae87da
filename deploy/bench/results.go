package main

// results is all that was measured, as docs/performance.json keeps it.
type results struct {
	Scenarios map[string]*measured
}

// measured is what one scenario gave.
type measured struct {
	Samples map[string][]sample // by peer; those of one repetition have one index; 0 = void
	Void    string              `json:",omitempty"` // why no ratio of it is told
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
