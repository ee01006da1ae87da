package main

import "fmt"

// A goal says how wellkey is to compare with a peer. Ratios of processor time say how
// much cheaper wellkey is; all others, how much of the peer's wellkey needs.
type goal struct {
	scenario, peer string
	own            string  // the peer that is compared; "" = wellkey
	first, then    float64 // then 0 = none
}

// goals are those of the project, in the order of the report. Those without a bound
// are told.
var goals = []goal{
	{scenario: "x25519", peer: nginx, first: 1.2, then: 1.4},
	{scenario: "x25519", peer: caddy, first: 1.2},
	{scenario: "x25519", peer: haproxy},
	{scenario: "x25519", peer: bare, first: 0.92},
	{scenario: "mlkem", peer: nginx, first: 0.95},
	{scenario: "mlkem", peer: caddy, first: 1.2},
	{scenario: "mlkem", peer: haproxy},
	{scenario: "resumed", peer: nginx, first: 1.3},
	{scenario: "resumed", peer: haproxy},
	{scenario: "h1", peer: nginx, first: 0.72, then: 1},
	{scenario: "h1", peer: caddy, first: 2},
	{scenario: "h1", peer: caddyFile, first: 4},
	{scenario: "h1", peer: haproxy},
	{scenario: "h2", peer: caddy, first: 1.4},
	{scenario: "h2", peer: nginx},
	{scenario: "h2", peer: haproxy},
	{scenario: "arrivals", peer: nginx, first: 0.9},
	{scenario: "idle", peer: nginx, first: 0.9},
	{scenario: "idle", peer: caddy, first: 0.27},
	{scenario: "idle", peer: haproxy},
	{scenario: "open", peer: nginx, first: 1.6, then: 1},
	{scenario: "open", peer: caddy, first: 0.68},
	{scenario: "start", peer: nginx, first: 0.8},
	{scenario: "start", peer: caddy, first: 0.25},
	{scenario: "start", peer: haproxy},
	{scenario: "many-start", peer: nginx, own: wellkeyMany, first: 0.15},
	{scenario: "many-memory", peer: nginx, own: wellkeyMany, first: 0.35},
	{scenario: "many-cpu", peer: wellkey, own: wellkeyMany, first: 1.05},
	{scenario: "size", peer: caddy, first: 0.35},
}

// cheaper reports whether the ratio of a goal grows with what wellkey does well.
func (g goal) cheaper() bool { return scenarioOf(g.scenario).unit == unitCPU && g.own == "" }

// ratio returns how wellkey compares, and from how many repetitions.
func (g goal) ratio(m *measured) (span, int) {
	own := g.own
	if own == "" {
		own = wellkey
	}
	if g.cheaper() {
		return m.ratio(g.peer, own), len(ratios(m.Samples[g.peer], m.Samples[own]))
	}
	return m.ratio(own, g.peer), len(ratios(m.Samples[own], m.Samples[g.peer]))
}

// wanted writes a goal for people.
func (g goal) wanted() string {
	word := "at most"
	if g.cheaper() {
		word = "at least"
	}
	switch {
	case g.first == 0:
		return "is told"
	case g.then > 0:
		return fmt.Sprintf("%s %s, then %s", word, number(g.first), number(g.then))
	}
	return word + " " + number(g.first)
}

func number(f float64) string { return fmt.Sprintf("%.4g×", f) }

// scenarioOf returns the scenario of that name, which there is.
func scenarioOf(name string) *scenario {
	for _, s := range scenarios {
		if s.name == name {
			return s
		}
	}
	panic("there is no scenario " + name)
}

// enough is the part of the repetitions that must be undisturbed.
const enough = 2. / 3

// judge says why nothing is told of a scenario; "" where it is told.
func (s *scenario) judge(m *measured, repetitions int) string {
	for _, name := range s.peers {
		valid := 0
		for _, got := range m.Samples[name] {
			if got > 0 {
				valid++
			}
		}
		if float64(valid) < enough*float64(min(repetitions, len(m.Samples[name]))) || valid == 0 {
			return fmt.Sprintf("others used the machine: %d of %d windows of %s are left", valid, len(m.Samples[name]), titleOf(name))
		}
	}
	if s.control[0] == "" {
		return ""
	}
	if control := m.ratio(s.control[0], s.control[1]); !holds(control.Mid) {
		return fmt.Sprintf("the control came out at %.2f, outside of %.2f to %.2f", control.Mid, controlLeast, controlMost)
	}
	return ""
}
