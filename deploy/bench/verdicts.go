package main

import "fmt"

// A verdict says what a run can say of a bound.
type verdict string

const (
	met    verdict = "met"
	notMet verdict = "not met"
	open   verdict = "open" // chance could make it either
)

// sure returns the interval that a verdict is given by: that of the ratio, widened by
// how far the control, which is the same server twice, is from 1 in the same run. So
// it holds what differs from one run to the next, too, and not chance within one only.
func (g goal) sure(m *measured) span {
	ratio, _ := g.ratio(m)
	if s := scenarioOf(g.scenario); s.control[0] != "" {
		control := m.ratio(s.control[0], s.control[1])
		if control.Low > 0 {
			wider := max(control.High, 1/control.Low)
			ratio.Low, ratio.High = ratio.Low/wider, ratio.High*wider
		}
	}
	return ratio
}

// reached reports whether a ratio is on the right side of a bound.
func (g goal) reached(ratio, bound float64) bool {
	if g.cheaper() {
		return ratio >= bound
	}
	return ratio <= bound
}

// verdict judges one bound: it is met if it is at the bad end of the interval, too,
// and not met if it is not even at the good end.
func (g goal) verdict(sure span, bound float64) verdict {
	bad, good := sure.High, sure.Low
	if g.cheaper() {
		bad, good = sure.Low, sure.High
	}
	switch {
	case g.reached(bad, bound):
		return met
	case g.reached(good, bound):
		return open
	}
	return notMet
}

// bounds are those of a goal: none where it is told only.
func (g goal) bounds() (all []float64) {
	for _, bound := range []float64{g.first, g.then} {
		if bound > 0 {
			all = append(all, bound)
		}
	}
	return all
}

// told writes the verdicts of a goal, and whether the run before says the same.
func (g goal) told(m *measured) string {
	bounds := g.bounds()
	if len(bounds) == 0 {
		return "no goal"
	}
	text := ""
	for i, bound := range bounds {
		if i > 0 {
			text += fmt.Sprintf("; %s: ", number(bound))
		}
		now := g.verdict(g.sure(m), bound)
		text += string(now)
		switch {
		case m.Before == nil:
		case m.Before.Void != "":
			text += " (void the last time)"
		default:
			if before := g.verdict(g.sure(m.Before), bound); before == now {
				text += ", twice"
			} else {
				text += fmt.Sprintf(" (%s the last time)", before)
			}
		}
	}
	return text
}

// An agreement counts how the verdicts of two runs of the same program compare.
type agreement struct {
	same, open, void int
	contradicted     []string // what one run calls met, and the other not
}

// agreement compares the verdicts with those of the runs before. A verdict that is
// open says nothing, so that it contradicts nothing.
func (r *results) agreement() (a agreement) {
	for _, g := range goals {
		m := r.Scenarios[g.scenario]
		if m == nil || m.Before == nil {
			continue
		}
		for _, bound := range g.bounds() {
			if m.Void != "" || m.Before.Void != "" {
				a.void++
				continue
			}
			now, before := g.verdict(g.sure(m), bound), g.verdict(g.sure(m.Before), bound)
			switch {
			case now == before:
				a.same++
			case now == open || before == open:
				a.open++
			default:
				a.contradicted = append(a.contradicted, fmt.Sprintf("%s against %s, %s: %s, and %s the last time", scenarioOf(g.scenario).title, titleOf(g.peer), number(bound), now, before))
			}
		}
	}
	return a
}

// nothing reports whether no verdict could be compared with that of the run before.
func (a agreement) nothing() bool {
	return a.same == 0 && len(a.contradicted) == 0 && a.open+a.void > 0
}

// text tells it; "" where there was no run before.
func (a agreement) text() string {
	all := a.same + a.open + a.void + len(a.contradicted)
	switch {
	case all == 0:
		return ""
	case a.nothing():
		return fmt.Sprintf("Nothing was compared: of %d verdicts of the same program on the same machine %d are open in one run only, and for %d a run is void.", all, a.open, a.void)
	}
	text := fmt.Sprintf("Measured twice with the same program on the same machine: of %d verdicts %d are the same, %d are open in one run only, for %d a run is void, %d contradict each other.",
		all, a.same, a.open, a.void, len(a.contradicted))
	for _, c := range a.contradicted {
		text += "\n- " + c
	}
	return text
}
